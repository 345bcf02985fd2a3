/*
 * configure.c
 *	  configure_destination, and the triggers on the tables of settings.
 *
 * The token is stored in two halves, neither of which shows it (common/secret.c).
 * Everything else about a destination is changed with plain UPDATE.
 */
#include "pinterest_capi.h"

#include "access/xact.h"
#include "admin/destination_admin.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/extension.h"
#include "common/secret.h"
#include "common/spi.h"
#include "common/table_insert.h"
#include "core/url.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "queue/destination_state.h"
#include "queue/finalize.h"
#include "queue/wakeup.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/rel.h"

#define TOKEN_MAX		4096
#define ID_DIGITS_MAX	18
#define DEFAULT_API_URL	"https://api.pinterest.com/v5"

static const char *const hidden_statement = "SELECT pinterest_capi.configure_destination(/* arguments hidden */)";

/*
 * Replace the statement, which holds the token, by another text in pg_stat_activity
 * and in the log of an error or of a lock wait.  Out of reach are: what the server does
 * with a statement before it runs (log_statement, the log of a statement that can't be
 * parsed or names no function, pg_stat_activity while it is planned); what it logs from
 * its own copy at the end (log_min_duration_statement, auto_explain); the client's
 * history.  docs/security.md tells how to avoid these.
 */
static void
hide_own_statement(void)
{
	debug_query_string = hidden_statement;
	pgstat_report_activity(STATE_RUNNING, hidden_statement);
}

/* Return whether a text is an id of Pinterest's: digits alone, and not too many. */
static bool
all_digits(const char *s)
{
	size_t		len = strlen(s);

	return len > 0 && len <= ID_DIGITS_MAX && strspn(s, "0123456789") == len;
}

/* Raise an error unless a token is well formed, or names a file that the caller may name. */
static void
check_token(const char *token)
{
	size_t		len = strlen(token);

	if (len == 0)
		pcapi_error_invalid_parameter(("access token is empty"),
									  ("Create one in Pinterest Ads Manager: Conversions, Conversion access token."));
	if (len > TOKEN_MAX)
		pcapi_error_invalid_parameter(("access token is longer than %d bytes", TOKEN_MAX),
									  ("Paste the token alone, or name a file that holds it: 'file:/absolute/path'."));
	if (strncmp(token, "file:", strlen("file:")) == 0)
	{
		for (const char *c = token; *c; c++)
			if ((unsigned char) *c < ' ' || *c == 0x7F)
				pcapi_error_invalid_parameter(("path of the access token file has control characters"),
											  ("Write 'file:/absolute/path'."));
		if (token[strlen("file:")] != '/')
			pcapi_error_invalid_parameter(("path of the access token file is not absolute"),
										  ("Write 'file:/absolute/path', a path on the database server."));
		if (!has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to use an access token file"),
					 errhint("Only superusers and members of pg_read_server_files may name files on the server; give the token itself, or have one of them make the call."),
					 pcapi_errhide()));
		return;
	}
	for (const char *c = token; *c; c++)
		if ((unsigned char) *c <= ' ' || (unsigned char) *c > '~')
			pcapi_error_invalid_parameter(("access token has blanks, control characters or letters beyond ASCII"),
										  ("Paste the token alone, without quotes or line breaks."));
}

/* Return what a destination lacks to be ready, or NULL.  It has a Tag ID and a token here. */
static char *
what_is_missing(const char *ad_account_id)
{
	if (ad_account_id)
		return NULL;
	return pstrdup("Your destination is not ready: the ad account id is missing. "
				   "In Pinterest Ads Manager it is shown under Business access, Ad accounts, "
				   "and in the address of every page after /advertiser/.");
}

/* Store a token in two halves: random bytes, and the token XORed with them.  Inside SPI. */
static void
store_secret(const char *destination, const char *token)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[3] = {TEXTOID, BYTEAOID, BYTEAOID};
	Datum		values[3];
	size_t		len = strlen(token);
	bytea	   *pad = palloc(VARHDRSZ + len);
	bytea	   *masked = palloc(VARHDRSZ + len);

	SET_VARSIZE(pad, VARHDRSZ + len);
	SET_VARSIZE(masked, VARHDRSZ + len);
	if (!pg_strong_random(VARDATA(pad), len))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values"),
				 errhint("Check the server's source of randomness: OpenSSL's, or /dev/urandom."),
				 pcapi_errhide()));
	memcpy(VARDATA(masked), token, len);
	pcapi_xor(VARDATA(masked), VARDATA(pad), len);

	values[0] = CStringGetTextDatum(destination);
	values[1] = PointerGetDatum(pad);
	values[2] = PointerGetDatum(masked);
	(void) pcapi_execute_upsert(PCAPI_TABLE_SECRET,
								pcapi_plan(&plan,
										   "INSERT INTO pinterest_capi._secret (destination, pad, masked) VALUES ($1, $2, $3)"
										   " ON CONFLICT (destination) DO UPDATE SET pad = excluded.pad, masked = excluded.masked",
										   3, types),
								values, NULL);
}

/*
 * Notify the caller that Pinterest may refuse the credentials although they are well formed, and of an api_url that
 * isn't Pinterest's.
 */
static void
notice_not_asked_yet(const char *destination, const char *api_url)
{
	ereport(NOTICE,
			(errmsg("these credentials have not been tried with Pinterest yet"),
			 errhint("SELECT pinterest_capi.verify_destination(%s); asks.",
					 strcmp(destination, "default") == 0 ? "" : quote_literal_cstr(destination)),
			 pcapi_errhide()));
	if (strcmp(api_url, DEFAULT_API_URL) != 0)
		ereport(NOTICE,
				(errmsg("events of this destination are sent to %s, not to Pinterest", api_url),
				 errhint("UPDATE pinterest_capi.destination SET api_url = DEFAULT WHERE destination = %s; makes it Pinterest's.",
						 quote_literal_cstr(destination)),
				 pcapi_errhide()));
}

PG_FUNCTION_INFO_V1(pcapi_sql_configure_destination);
Datum
pcapi_sql_configure_destination(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr plan = NULL;
	char	   *tag_id;
	char	   *token;
	char	   *ad_account_id;
	char	   *destination;
	Oid			types[3] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		values[3];
	char		nulls[3] = {' ', ' ', ' '};
	PcapiUserContext saved;
	char	   *stored_account;
	char	   *api_url;
	char	   *missing;

	hide_own_statement();
	pcapi_check_writable("configure_destination()");
	tag_id = pcapi_text_arg(fcinfo, 0);
	token = pcapi_text_arg(fcinfo, 1);
	ad_account_id = pcapi_text_arg(fcinfo, 2);
	destination = pcapi_text_arg(fcinfo, 3);

	if (destination == NULL || destination[0] == '\0' || strlen(destination) > 128)
		pcapi_error_invalid_parameter(("destination must have 1 to 128 bytes"),
									  ("Leave it out to use the destination named default."));
	if (tag_id == NULL || !all_digits(tag_id))
		pcapi_error_invalid_parameter(("Tag ID is not a number"),
									  ("In Pinterest Ads Manager it is under Conversions, Tag manager: up to %d digits.", ID_DIGITS_MAX));
	if (ad_account_id && !all_digits(ad_account_id))
		pcapi_error_invalid_parameter(("ad account id is not a number"),
									  ("In Pinterest Ads Manager it is shown under Business access, Ad accounts: up to %d digits.", ID_DIGITS_MAX));
	if (token == NULL)
		token = pstrdup("");
	check_token(token);

	pcapi_switch_to_owner(&saved, true);
	SPI_connect();
	values[0] = CStringGetTextDatum(destination);
	values[1] = CStringGetTextDatum(tag_id);
	if (ad_account_id)
		values[2] = CStringGetTextDatum(ad_account_id);
	else
		nulls[2] = 'n';
	if (!pcapi_execute_upsert(PCAPI_TABLE_DESTINATION,
							  pcapi_plan(&plan,
										 "INSERT INTO pinterest_capi.destination AS d (destination, tag_id, ad_account_id) VALUES ($1, $2, $3)"
										 " ON CONFLICT (destination) DO UPDATE SET tag_id = excluded.tag_id,"
										 " ad_account_id = coalesce(excluded.ad_account_id, d.ad_account_id)"
										 " RETURNING ad_account_id, api_url",
										 3, types),
							  values, nulls) ||
		SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("the destination was not stored"),
				 errhint("A trigger on the table pinterest_capi.destination may prevent it."),
				 pcapi_errhide()));
	stored_account = pcapi_result_text(0, "ad_account_id");
	api_url = pcapi_result_text(0, "api_url");
	store_secret(destination, token);
	pcapi_claim_server();
	pcapi_unpause(destination);
	SPI_finish();
	pcapi_restore_user(&saved);
	explicit_bzero(token, strlen(token));

	missing = what_is_missing(stored_account);
	if (missing == NULL)
		notice_not_asked_yet(destination, api_url);
	PG_RETURN_TEXT_P(cstring_to_text(missing ? missing : "Your destination is configured and ready."));
}

/* ---- triggers ---- */

/*
 * _settings_changed(): a row of a table of settings was changed, or all were deleted.
 * It invalidates the view _settings once for each command of a transaction.  Sessions
 * hear of it at COMMIT, this one at the end of the command, and again at ROLLBACK.  The
 * lock conflicts with no other use; it shows a session that a change is under way of
 * which it will hear (settings_cache.c).
 */
PG_FUNCTION_INFO_V1(pcapi_sql_settings_changed);
Datum
pcapi_sql_settings_changed(PG_FUNCTION_ARGS)
{
	static TransactionId told_in = InvalidTransactionId;
	static CommandId told_by = InvalidCommandId;
	Oid			view;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("_settings_changed() must be called as a trigger"),
				 errhint("The extension has made the triggers that need it."), pcapi_errhide()));
	if (told_in == GetCurrentTransactionId() && told_by == GetCurrentCommandId(false))
		return PointerGetDatum(NULL);
	view = pcapi_table(PCAPI_TABLE_SETTINGS);
	if (OidIsValid(view))
	{
		LockRelationOid(view, RowExclusiveLock);
		CacheInvalidateRelcacheByRelid(view);
	}
	pcapi_wake_at_commit();
	told_in = GetCurrentTransactionId();
	told_by = GetCurrentCommandId(false);
	return PointerGetDatum(NULL);
}

/* Return a column of a row as text, or NULL. */
static char *
field(TriggerData *trigger, HeapTuple tuple, const char *name)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);

	return pcapi_tuple_text(tuple, desc, name);
}

/* Return whether two texts are the same.  Two NULLs are. */
static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* End a backoff when api_url has changed: the server that asked for it is another one. */
static void
end_backoff(const char *destination)
{
	PcapiUserContext saved;

	pcapi_switch_to_owner(&saved, true);
	pcapi_end_backoff(destination);
	pcapi_restore_user(&saved);
}

/* Raise an error if a user who is no superuser changes api_url. */
static void
guard_api_url(const char *old, const char *new)
{
	if (new == NULL || same_text(old, new) || superuser())
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to set api_url"),
			 errhint("Only superusers may change where events and the access token are sent; have one of them do it."),
			 pcapi_errhide()));
}

/* _destination_guard(): refuse what must not be changed, and cancel the events of a deleted destination. */
PG_FUNCTION_INFO_V1(pcapi_sql_destination_guard);
Datum
pcapi_sql_destination_guard(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	HeapTuple	old;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("_destination_guard() must be called as a BEFORE ROW trigger"),
				 errhint("The extension has made the trigger that needs it."), pcapi_errhide()));

	old = trigger->tg_trigtuple;
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		guard_api_url(DEFAULT_API_URL, field(trigger, old, "api_url"));
	else if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		HeapTuple	new = trigger->tg_newtuple;
		char	   *name = field(trigger, new, "destination");

		if (name == NULL || strcmp(field(trigger, old, "destination"), name) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("a destination cannot be renamed"),
					 errhint("Make a new one with configure_destination, and drop the old one with drop_destination."),
					 pcapi_errhide()));
		guard_api_url(field(trigger, old, "api_url"), field(trigger, new, "api_url"));
		if (!same_text(field(trigger, old, "api_url"), field(trigger, new, "api_url")))
			end_backoff(name);
		return PointerGetDatum(new);
	}
	else
	{
		PcapiUserContext saved;

		pcapi_switch_to_owner(&saved, true);
		pcapi_cancel_destination_events(field(trigger, old, "destination"));
		pcapi_restore_user(&saved);
	}
	return PointerGetDatum(old);
}

PG_FUNCTION_INFO_V1(pcapi_sql_api_url_ok);
Datum
pcapi_sql_api_url_ok(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(pcapi_api_url_ok(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}
