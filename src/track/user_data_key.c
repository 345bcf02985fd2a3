/*
 * user_data_key.c
 *	  The keys of user_data: names, form, where each is stored and looked up.
 *
 * Nothing of a person is read, stored, sent or looked up whose key is not in
 * this table.  Reading a call's user_data is in user_data.c, the JSON of events
 * and visitors in user_data_json.c, the form of hashed values in src/core.
 * Source: Pinterest's OpenAPI description, 5.28.0 of 2026-09-30; customer_type
 * stands in 5.31.0 alone.
 */
#include "pinterest_capi.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "core/normalize.h"
#include "core/pii.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "track/property_value.h"
#include "track/user_data_key.h"

/* Our own limits, beyond what browsers, servers and Pinterest have. */
#define CLICK_ID_MAX	8192	/* bytes */
#define PARTNER_ID_MAX	512		/* characters */
#define USER_AGENT_MAX	2048	/* characters */

static const char *parse_ip(char **ip, const char *s, size_t len);
static const char *parse_user_agent(char **user_agent, const char *s, size_t len);
static const char *parse_partner_id(char **partner_id, const char *s, size_t len);
static const char *parse_customer_type(char **customer_type, const char *s, size_t len);

#define HASHED(name, alias1, alias2, identifies) \
	{name, {alias1, alias2}, NULL, PCAPI_IN_USER_DATA, identifies, NULL}

/* In the order in which they are sent. */
const PcapiUserDataField pcapi_user_data_fields[PCAPI_USER_DATA_KEYS] =
{
	[PCAPI_EM] = HASHED("em", "email", NULL, true),
	[PCAPI_PH] = HASHED("ph", "phone", "phone_number", true),
	[PCAPI_GE] = HASHED("ge", "gender", NULL, false),
	[PCAPI_DB] = HASHED("db", "date_of_birth", NULL, false),
	[PCAPI_LN] = HASHED("ln", "last_name", NULL, false),
	[PCAPI_FN] = HASHED("fn", "first_name", NULL, false),
	[PCAPI_CT] = HASHED("ct", "city", NULL, false),
	[PCAPI_ST] = HASHED("st", "state", NULL, false),
	[PCAPI_ZP] = HASHED("zp", "zip", "postal_code", false),
	[PCAPI_COUNTRY] = HASHED("country", NULL, NULL, false),
	[PCAPI_EXTERNAL_ID] = HASHED("external_id", NULL, NULL, true),
	[PCAPI_MAIDS] = HASHED("hashed_maids", "maid", NULL, true),

	/* these two identify together, see pcapi_has_identifier */
	[PCAPI_CLIENT_IP] = {"client_ip_address", {"ip"}, parse_ip, PCAPI_IN_USER_DATA, false,
	"send_client_ip"},
	[PCAPI_CLIENT_USER_AGENT] = {"client_user_agent", {"user_agent"}, parse_user_agent, PCAPI_IN_USER_DATA, false,
	"send_user_agent"},
	[PCAPI_CLICK_ID] = {"click_id", {"epik"}, pcapi_parse_click_id, PCAPI_IN_CLICK_ID, true, NULL},
	[PCAPI_PARTNER_ID] = {"partner_id", {NULL}, parse_partner_id, PCAPI_IN_USER_DATA, true, NULL},
	[PCAPI_CUSTOMER_TYPE] = {"customer_type", {NULL}, parse_customer_type, PCAPI_NOT_STORED, false, NULL},
};

StaticAssertDecl(PCAPI_USER_DATA_KEYS <= 32, "a set of keys has 32 bits");

static inline bool
is_name(const char *name, const char *s, size_t len)
{
	return name != NULL && name[0] == s[0] && strncmp(s, name, len) == 0 && name[len] == '\0';
}

int
pcapi_user_data_key(const char *s, size_t len, const char **name)
{
	if (len == 0)
		return -1;
	for (int key = 0; key < PCAPI_USER_DATA_KEYS; key++)
	{
		const PcapiUserDataField *field = &pcapi_user_data_fields[key];

		if (is_name(field->name, s, len))
			*name = field->name;
		else if (is_name(field->aliases[0], s, len))
			*name = field->aliases[0];
		else if (is_name(field->aliases[1], s, len))
			*name = field->aliases[1];
		else
			continue;
		return key;
	}
	return -1;
}

char *
pcapi_identifying_keys(void)
{
	StringInfoData phrase;
	const char *last = NULL;

	initStringInfo(&phrase);
	for (int key = 0; key < PCAPI_USER_DATA_KEYS; key++)
	{
		if (!pcapi_user_data_fields[key].identifies)
			continue;
		if (last)
			appendStringInfo(&phrase, "%s%s", phrase.len > 0 ? ", " : "", last);
		last = pcapi_user_data_fields[key].name;
	}
	appendStringInfo(&phrase, " and %s", last);
	return phrase.data;
}

/* ---- keys that are sent as text ---- */

static bool
has_control_character(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		if ((unsigned char) s[i] < ' ' || s[i] == 0x7F)
			return true;
	}
	return false;
}

/* Accept the address of a client, of either version. */
static const char *
parse_ip(char **ip, const char *s, size_t len)
{
	char	   *text;
	struct in_addr v4;
	struct in6_addr v6;

	if (len >= INET6_ADDRSTRLEN)
		return "not an IP address";
	text = pnstrdup(s, len);
	if (inet_pton(AF_INET, text, &v4) == 1)
	{
		if (v4.s_addr == INADDR_ANY)
			return "not the address of a client";
	}
	else if (inet_pton(AF_INET6, text, &v6) == 1)
	{
		if (IN6_IS_ADDR_UNSPECIFIED(&v6))
			return "not the address of a client";
	}
	else
		return "not an IP address";
	*ip = text;
	return NULL;
}

/* Accept one line of text, clipped. */
static const char *
parse_user_agent(char **user_agent, const char *s, size_t len)
{
	size_t		clipped;
	const char *wrong;

	if (has_control_character(s, len))
		return "not a user agent";
	/* search 256 bytes beyond the cut as well: half an address is personal data too */
	clipped = pg_mbcharcliplen(s, (int) len, USER_AGENT_MAX);
	wrong = pcapi_find_pii_warning(s, pg_mbcliplen(s, (int) len, (int) Min(len, clipped + 256)), pcapi_pii_find);
	if (wrong)
		return wrong;
	*user_agent = pnstrdup(s, clipped);
	return clipped < len ? "too long, cut off" : NULL;
}

/*
 * Accept one line of text without personal data.  A click id is opaque, and
 * anybody can write one into a URL's query.
 */
const char *
pcapi_parse_click_id(char **click_id, const char *s, size_t len)
{
	const char *wrong;

	while (len > 0 && *s == ' ')
	{
		s++;
		len--;
	}
	while (len > 0 && s[len - 1] == ' ')
		len--;
	if (len == 0 || len > CLICK_ID_MAX || has_control_character(s, len))
		return "not a click id";
	wrong = pcapi_find_pii_warning(s, len, pcapi_pii_find_in_id);
	if (wrong == NULL)
		*click_id = pnstrdup(s, len);
	return wrong;
}

/* Accept an id whole: the beginning of an id is another id. */
static const char *
parse_partner_id(char **partner_id, const char *s, size_t len)
{
	const char *wrong;

	if (has_control_character(s, len) || memchr(s, '@', len) != NULL ||
		pg_mbstrlen_with_len(s, (int) len) > PARTNER_ID_MAX)
		return "not a partner id";
	wrong = pcapi_find_pii_warning(s, len, pcapi_pii_find_in_id);
	if (wrong == NULL)
		*partner_id = pnstrdup(s, len);
	return wrong;
}

/* Accept the API's two values in any case. */
static const char *
parse_customer_type(char **customer_type, const char *s, size_t len)
{
	static const char *const types[] = {"new", "returning"};

	for (int i = 0; i < lengthof(types); i++)
	{
		if (strlen(types[i]) == len && pg_strncasecmp(types[i], s, len) == 0)
		{
			*customer_type = pstrdup(types[i]);
			return NULL;
		}
	}
	return "neither new nor returning";
}
