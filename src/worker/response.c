/*
 * response.c
 *	  Read an answer of the API and decide its verdict.
 *
 * The table of verdicts is in docs/design.md.  verdict.c applies a verdict to
 * events and destinations.  Nothing here needs a transaction, and no answer of a
 * server raises an error: a body is checked for encoding, depth and escapes
 * before PostgreSQL's parser reads it.
 */
#include "pinterest_capi.h"

#include "common/jsonapi.h"
#include "common/unix_time.h"
#include "core/json_sanitize.h"
#include "mb/pg_wchar.h"
#include "utils/timestamp.h"
#include "worker/response.h"
#include "worker/transfer.h"

#define MAX_MESSAGE		500		/* bytes; a longer message is clipped */
#define NOT_GIVEN		(-1)

/* the reset of a daily limit is at most a day away */
#define RESET_MAX		(24 * 60 * 60)	/* seconds */

/* The state of the parser, and the result. */
typedef struct ResponseParse
{
	int			depth;			/* open objects and arrays */
	char	   *keys[3];		/* of the objects at depth 1, 2 and of an entry */
	int			events_depth;	/* of the array with the entries; 0: none so far */
	bool		in_events;
	bool		bad;			/* the entries have another form than the API's */
	int			n;				/* entries so far */
	int			room;
	PcapiEntry *entries;
	bool		has_status;		/* of the entry being read */
	long		received;
	long		processed;
	char	   *message;
	char	   *code;
	const char *token;
}			ResponseParse;

/*
 * Return a message for the tables: on one line, clipped, without the access
 * token, which a careless proxy may echo.  Return NULL for an empty one: the API
 * writes "no message" as null, as "" and as a missing key.
 */
static char *
clean_message(const char *raw, const char *token)
{
	size_t		token_len = token ? strlen(token) : 0;
	StringInfoData out;

	initStringInfo(&out);
	while (*raw != '\0' && out.len <= MAX_MESSAGE)
	{
		if (token_len > 0 && strncmp(raw, token, token_len) == 0)
		{
			appendStringInfoString(&out, "(access token)");
			raw += token_len;
			continue;
		}
		appendStringInfoChar(&out, (unsigned char) *raw < ' ' || *raw == 0x7f ? ' ' : *raw);
		raw++;
	}
	if (out.len > MAX_MESSAGE)
	{
		out.len = GetDatabaseEncoding() == PG_UTF8 ?
			pg_encoding_mbcliplen(PG_UTF8, out.data, out.len, MAX_MESSAGE) : Min(out.len, MAX_MESSAGE);
		out.data[out.len] = '\0';
	}
	while (out.len > 0 && out.data[out.len - 1] == ' ')
		out.data[--out.len] = '\0';
	if (out.len > 0)
		return out.data;
	pfree(out.data);
	return NULL;
}

/* ---- the parser's actions ---- */

/* Keep a message, the last one of a repeated key.  The earlier one is freed, so repeating a key costs no memory. */
static void
keep_message(char **kept, const char *raw, const char *token)
{
	if (*kept != NULL)
		pfree(*kept);
	*kept = clean_message(raw, token);
}

/* Is it this key? */
static bool
is_key(const char *key, const char *name)
{
	return key != NULL && strcmp(key, name) == 0;
}

/* Begin an entry, or any other object. */
static PcapiJsonAction
on_object_start(void *state)
{
	ResponseParse *r = state;

	if (r->in_events && r->depth == r->events_depth)
	{
		if (r->n < r->room)
			memset(&r->entries[r->n], 0, sizeof(PcapiEntry));
		r->has_status = false;
	}
	r->depth++;
	PcapiJsonGoOn();
}

/* End an entry, which must have had a status, or any other object. */
static PcapiJsonAction
on_object_end(void *state)
{
	ResponseParse *r = state;

	r->depth--;
	if (r->in_events && r->depth == r->events_depth)
	{
		if (!r->has_status)
			r->bad = true;
		r->n++;
	}
	PcapiJsonGoOn();
}

/* Begin the array of entries, "events" or, in a refusal, "details"."events", or any other array. */
static PcapiJsonAction
on_array_start(void *state)
{
	ResponseParse *r = state;

	if (r->in_events && r->depth == r->events_depth)
		r->bad = true;
	if (!r->in_events &&
		((r->depth == 1 && is_key(r->keys[0], "events")) ||
		 (r->depth == 2 && is_key(r->keys[0], "details") && is_key(r->keys[1], "events"))))
	{
		/* a second array of entries: either may be the right one */
		if (r->events_depth != 0)
			r->bad = true;
		else
		{
			r->in_events = true;
			r->events_depth = r->depth + 1;
		}
	}
	r->depth++;
	PcapiJsonGoOn();
}

/* End the array of entries, or any other array. */
static PcapiJsonAction
on_array_end(void *state)
{
	ResponseParse *r = state;

	r->depth--;
	if (r->in_events && r->depth == r->events_depth - 1)
		r->in_events = false;
	PcapiJsonGoOn();
}

/* Note the key whose value comes next. */
static PcapiJsonAction
on_field_start(void *state, char *name, bool isnull)
{
	ResponseParse *r = state;

	if (r->in_events && r->depth == r->events_depth + 1)
		r->keys[2] = name;
	else if (r->depth >= 1 && r->depth <= 2)
		r->keys[r->depth - 1] = name;
	PcapiJsonGoOn();
}

/* Read a value of an entry. */
static void
entry_scalar(ResponseParse * r, char *value, JsonTokenType type)
{
	PcapiEntry *entry = r->n < r->room ? &r->entries[r->n] : NULL;
	bool		is_text = (type == JSON_TOKEN_STRING);

	if (entry == NULL)
		return;
	if (is_key(r->keys[2], "status"))
	{
		if (is_text && strcmp(value, "failed") == 0)
			entry->failed = true;
		else if (!is_text || strcmp(value, "processed") != 0)
			r->bad = true;
		if (r->has_status)
			r->bad = true;
		r->has_status = true;
	}
	else if (is_key(r->keys[2], "error_message") && is_text)
		keep_message(&entry->error, value, r->token);
	else if (is_key(r->keys[2], "warning_message") && is_text)
		keep_message(&entry->warning, value, r->token);
}

/* Read a count.  One that can't be read, or comes twice with different values, becomes a number that no count equals. */
static void
read_count(long *count, const char *value, JsonTokenType type)
{
	size_t		len = strlen(value);
	long		n = NOT_GIVEN - 1;

	if (type == JSON_TOKEN_NUMBER && len < 10 && strspn(value, "0123456789") == len)
		n = strtol(value, NULL, 10);
	*count = (*count == NOT_GIVEN || *count == n) ? n : NOT_GIVEN - 1;
}

/* Read a value of an entry, or of the answer itself. */
static PcapiJsonAction
on_scalar(void *state, char *value, JsonTokenType type)
{
	ResponseParse *r = state;

	if (r->in_events && r->depth == r->events_depth)
		r->bad = true;
	else if (r->in_events && r->depth == r->events_depth + 1)
		entry_scalar(r, value, type);
	else if (r->depth == 1 && r->keys[0] != NULL)
	{
		if (strcmp(r->keys[0], "num_events_received") == 0)
			read_count(&r->received, value, type);
		else if (strcmp(r->keys[0], "num_events_processed") == 0)
			read_count(&r->processed, value, type);
		else if (strcmp(r->keys[0], "message") == 0 && type == JSON_TOKEN_STRING)
			keep_message(&r->message, value, r->token);
		else if (strcmp(r->keys[0], "code") == 0 && type == JSON_TOKEN_NUMBER)
			keep_message(&r->code, value, r->token);
	}
	PcapiJsonGoOn();
}

/* Parse the body; false: it is no JSON that can be read. */
static bool
read_body(ResponseParse * r, const PcapiRequest *request, int n, const char *token)
{
	JsonSemAction actions = {
		.semstate = r,
		.object_start = on_object_start,
		.object_end = on_object_end,
		.array_start = on_array_start,
		.array_end = on_array_end,
		.object_field_start = on_field_start,
		.scalar = on_scalar,
	};
	size_t		len = 0;
	char	   *json;
	bool		readable;

	memset(r, 0, sizeof(ResponseParse));
	r->token = token;
	r->received = r->processed = NOT_GIVEN;
	r->room = n;
	r->entries = palloc0(sizeof(PcapiEntry) * Max(n, 1));
	if (request->answer == NULL || request->answer_len == 0)
		return false;
	json = palloc(request->answer_len + 1);
	/* escapes and characters that the database's encoding lacks become question marks */
	readable = pcapi_json_sanitize(request->answer, request->answer_len, GetDatabaseEncoding() != PG_UTF8, json, &len) &&
		pg_parse_json(PcapiJsonLexer(json, (int) len, GetDatabaseEncoding()), &actions) == JSON_SUCCESS;
	pfree(json);
	return readable;
}

/* Return how many entries say that the event was processed. */
static int
processed_entries(const ResponseParse * r, int n)
{
	int			processed = 0;

	for (int i = 0; i < n; i++)
		processed += !r->entries[i].failed;
	return processed;
}

/* Return the seconds until the rate limit's window ends; some servers give Unix time instead. */
static int64
reset_seconds(int64 reset)
{
	int64		now = pcapi_unix_us(GetCurrentTimestamp()) / USECS_PER_SEC;

	if (reset > now / 2)
		reset = Max(reset - now, 0);
	return Min(reset, RESET_MAX);
}

/* Return the milliseconds that the server asks to wait, 0 for none. */
static int64
requested_wait(const PcapiRequest *request)
{
	int64		wait = request->retry_after;

	if (request->status == 429 || request->ratelimit_exhausted)
		wait = Max(wait, reset_seconds(request->ratelimit_reset));
	return wait * 1000;
}

/* Decide the verdict of a request without a complete answer. */
static void
read_transport(PcapiAnswer *answer, const PcapiRequest *request, const char *token)
{
	const char *words = request->error[0] != '\0' ? request->error : "no answer";
	char	   *ascii = pstrdup(words);

	for (char *c = ascii; *c != '\0'; c++)
		if (IS_HIGHBIT_SET(*c))
			*c = '?';
	words = clean_message(ascii, token);
	switch (request->transport)
	{
		case PCAPI_HTTP_UNREACHABLE:
			answer->verdict = PCAPI_VERDICT_UNREACHABLE;
			answer->message = psprintf("no connection: %s", words ? words : "no answer");
			break;
		case PCAPI_HTTP_UNTRUSTED:
			answer->verdict = PCAPI_VERDICT_PAUSE;
			answer->message = psprintf("the server's certificate was refused: %s", words ? words : "");
			break;
		case PCAPI_HTTP_MISCONFIGURED:
			answer->verdict = PCAPI_VERDICT_PAUSE;
			answer->message = psprintf("no request could be made: %s", words ? words : "");
			break;
		default:
			answer->verdict = PCAPI_VERDICT_UNKNOWN;
			answer->message = psprintf("no complete answer: %s", words ? words : "");
			break;
	}
}

/*
 * The verdict of a status, if no entries say more; the first match counts.  Three
 * statuses alone are about the events.  Any other 4xx comes from a wrong setting
 * or from a machine in between, and would be the same for each event.  A gateway
 * that got no answer in time, or one that it did not understand, doesn't know
 * whether the request was processed.  Statuses are those of IANA's HTTP Status
 * Code Registry but 499 (nginx), 520 and 524 (Cloudflare) and 598 (some proxies).
 */
static const struct
{
	int			from;
	int			to;
	PcapiVerdict verdict;
}			verdicts[] = {
	{100, 199, PCAPI_VERDICT_UNKNOWN},	/* interim answers, which end nothing */
	{200, 299, PCAPI_VERDICT_ENTRIES},
	{300, 399, PCAPI_VERDICT_PAUSE},
	{400, 400, PCAPI_VERDICT_REFUSED},
	{408, 408, PCAPI_VERDICT_RETRY},	/* the request did not come in time */
	{413, 413, PCAPI_VERDICT_REFUSED},
	{421, 421, PCAPI_VERDICT_RETRY},	/* the wrong server, on a new connection too (http.c) */
	{422, 422, PCAPI_VERDICT_REFUSED},
	{425, 425, PCAPI_VERDICT_RETRY},	/* too early */
	{429, 429, PCAPI_VERDICT_THROTTLED},
	{499, 499, PCAPI_VERDICT_UNKNOWN},	/* a gateway believes that we have closed the connection */
	{400, 499, PCAPI_VERDICT_PAUSE},
	{502, 502, PCAPI_VERDICT_UNKNOWN},
	{504, 504, PCAPI_VERDICT_UNKNOWN},
	{511, 511, PCAPI_VERDICT_PAUSE},	/* a captive portal */
	{520, 520, PCAPI_VERDICT_UNKNOWN},	/* Cloudflare's: an answer it does not understand */
	{524, 524, PCAPI_VERDICT_UNKNOWN},	/* Cloudflare's: no answer in time */
	{598, 598, PCAPI_VERDICT_UNKNOWN},	/* some proxies': no answer in time */
	{500, 999, PCAPI_VERDICT_RETRY},
};

/* Look a status up in the table. */
static PcapiVerdict
verdict_of_status(int status)
{
	for (int i = 0; i < lengthof(verdicts); i++)
		if (status >= verdicts[i].from && status <= verdicts[i].to)
			return verdicts[i].verdict;
	return PCAPI_VERDICT_UNKNOWN;
}

/* Decide the verdict of a complete answer. */
static PcapiVerdict
verdict_of(int status, const ResponseParse * r, bool readable, int n)
{
	bool		entries = readable && r->events_depth > 0 && !r->bad && r->n == n;
	PcapiVerdict verdict = verdict_of_status(status);

	if (verdict == PCAPI_VERDICT_REFUSED)
	{
		if (entries)
			return PCAPI_VERDICT_ENTRIES;
		/* the API's errors have a code; a firewall's page fails no event */
		return readable && (r->code != NULL || r->events_depth > 0) ? PCAPI_VERDICT_REFUSED : PCAPI_VERDICT_BLOCKED;
	}
	if (verdict == PCAPI_VERDICT_ENTRIES &&
		!(entries &&
		  (r->received == NOT_GIVEN || r->received == n) &&
		  (r->processed == NOT_GIVEN || r->processed == processed_entries(r, n))))
		return PCAPI_VERDICT_UNKNOWN;
	return verdict;
}

/* Decide the verdict of an incomplete answer by its status, if that is enough; false: it is not. */
static bool
read_beginning(PcapiAnswer *answer, const PcapiRequest *request)
{
	if (request->transport != PCAPI_HTTP_INTERRUPTED || request->status < 300)
		return false;

	/* a server often answers 413 before it has read the body, and then closes the connection */
	if (request->status == 413)
		answer->verdict = PCAPI_VERDICT_BLOCKED;
	else
		answer->verdict = verdict_of_status(request->status);
	return answer->verdict != PCAPI_VERDICT_REFUSED;
}

/* Did the server report success, but not the outcome of each event? */
static bool
unread_success(const PcapiAnswer *answer, const PcapiRequest *request)
{
	return answer->verdict == PCAPI_VERDICT_UNKNOWN && request->status >= 100 && request->status < 300;
}

/* Return the message to record for an answer that settles no single events. */
static char *
message_of(const PcapiAnswer *answer, const PcapiRequest *request, const ResponseParse * r, bool readable)
{
	int			status = request->status;

	if (answer->unread)
		return psprintf("HTTP %d with %s", status,
						!readable ? "a body that can't be read" :
						r->events_depth == 0 ? "no entries for the events" :
						"entries or counts that don't add up");
	if (readable && r->message)
		return psprintf("HTTP %d: %s%s%s%s", status, r->message,
						r->code ? " (code " : "", r->code ? r->code : "", r->code ? ")" : "");
	if (status >= 300 && status < 400)
		return psprintf("HTTP %d: redirects are not followed", status);
	if (answer->verdict == PCAPI_VERDICT_BLOCKED ||
		(answer->verdict == PCAPI_VERDICT_PAUSE && status != 401 && status != 403 && status != 404))
		return psprintf("HTTP %d in other words than the API's, as of a proxy or a firewall", status);
	return psprintf("HTTP %d", status);
}

/* Read the answer to a request with n events. */
PcapiAnswer *
pcapi_read_response(const PcapiRequest *request, int n, const char *token)
{
	PcapiAnswer *answer = palloc0(sizeof(PcapiAnswer));
	ResponseParse r = {0};
	bool		readable = false;

	if (request->transport == PCAPI_HTTP_ANSWERED)
	{
		readable = read_body(&r, request, n, token);
		answer->verdict = verdict_of(request->status, &r, readable, n);
	}
	else if (!read_beginning(answer, request))
	{
		read_transport(answer, request, token);
		answer->unread = unread_success(answer, request);
		return answer;
	}
	answer->http_status = request->status;
	answer->unread = unread_success(answer, request);
	answer->wait_ms = requested_wait(request);
	answer->entries = r.entries;
	if (answer->verdict != PCAPI_VERDICT_ENTRIES)
		answer->message = message_of(answer, request, &r, readable);
	return answer;
}
