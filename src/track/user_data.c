/*
 * user_data.c
 *	  A call's user_data, hashed: the raw values end here.
 *
 * What a value is normalised to is src/core's; what was stored of a visitor
 * before is added in visitor.c.
 */
#include "pinterest_capi.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "common/encoding.h"
#include "core/normalize.h"
#include "core/normalize_phone.h"
#include "core/normalize_place.h"
#include "core/pii.h"
#include "core/sha256.h"
#include "mb/pg_wchar.h"
#include "track/property_value.h"
#include "track/settings.h"
#include "track/settings_cache.h"
#include "track/user_data.h"
#include "track/warning.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/numeric.h"

#define VALUES_MAX		100		/* of one kind; nobody has more e-mail addresses */
#define CLICK_ID_MAX	8192
#define PARTNER_ID_MAX	512		/* characters */
#define USER_AGENT_MAX	2048	/* characters */

/* what is no hash, behind the kinds of core */
enum
{
	KEY_IP = PCAPI_KINDS,
	KEY_USER_AGENT,
	KEY_CLICK_ID,
	KEY_PARTNER_ID,
	KEY_CUSTOMER_TYPE
};

static const struct
{
	const char *name;
	int			kind;
}			keys[] =
{
	{"em", PCAPI_EM}, {"email", PCAPI_EM},
	{"ph", PCAPI_PH}, {"phone", PCAPI_PH}, {"phone_number", PCAPI_PH},
	{"ge", PCAPI_GE}, {"gender", PCAPI_GE},
	{"db", PCAPI_DB}, {"date_of_birth", PCAPI_DB},
	{"ln", PCAPI_LN}, {"last_name", PCAPI_LN},
	{"fn", PCAPI_FN}, {"first_name", PCAPI_FN},
	{"ct", PCAPI_CT}, {"city", PCAPI_CT},
	{"st", PCAPI_ST}, {"state", PCAPI_ST},
	{"zp", PCAPI_ZP}, {"zip", PCAPI_ZP}, {"postal_code", PCAPI_ZP},
	{"country", PCAPI_COUNTRY},
	{"external_id", PCAPI_EXTERNAL_ID},
	{"hashed_maids", PCAPI_MAIDS}, {"maid", PCAPI_MAIDS},
	{"ip", KEY_IP}, {"client_ip_address", KEY_IP},
	{"user_agent", KEY_USER_AGENT}, {"client_user_agent", KEY_USER_AGENT},
	{"click_id", KEY_CLICK_ID}, {"epik", KEY_CLICK_ID},
	{"partner_id", KEY_PARTNER_ID},
	{"customer_type", KEY_CUSTOMER_TYPE},
};

static int
find_key(const char *key, size_t len)
{
	for (int i = 0; i < lengthof(keys); i++)
	{
		if (keys[i].name[0] == key[0] && strncmp(key, keys[i].name, len) == 0 &&
			keys[i].name[len] == '\0')
			return i;
	}
	return -1;
}

bool
pcapi_is_identifier_key(const char *key, size_t len)
{
	return len > 0 && find_key(key, len) >= 0;
}

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

/*
 * Opaque to us, so nothing is asked of it but that it is one line of text, and
 * nobody's address: what stands in a URL's query is anybody's to write.
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

static const char *
parse_user_agent(char **user_agent, const char *s, size_t len)
{
	size_t		clipped;
	const char *wrong;

	if (has_control_character(s, len))
		return "not a user agent";
	/* beyond the cut as well: half an address is one too */
	clipped = pg_mbcharcliplen(s, (int) len, USER_AGENT_MAX);
	wrong = pcapi_find_pii_warning(s, pg_mbcliplen(s, (int) len, (int) Min(len, clipped + 256)), pcapi_pii_find);
	if (wrong)
		return wrong;
	*user_agent = pnstrdup(s, clipped);
	return clipped < len ? "too long, cut off" : NULL;
}

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

static const char *
parse_customer_type(const char **customer_type, const char *s, size_t len)
{
	static const char *const types[] = {"new", "returning"};

	for (int i = 0; i < lengthof(types); i++)
	{
		if (strlen(types[i]) == len && pg_strncasecmp(types[i], s, len) == 0)
		{
			*customer_type = types[i];
			return NULL;
		}
	}
	return "neither new nor returning";
}

static const char *
parse_ip(PcapiIdentifiers *ids, const char *s, size_t len)
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
	ids->ip = text;
	return NULL;
}

/* The date of now where it is latest, which is a day ahead of Greenwich's evening. */
static int
date_of_today(void)
{
	int			days = (int) (GetCurrentTimestamp() / USECS_PER_DAY) + POSTGRES_EPOCH_JDATE + 1;
	int			year;
	int			month;
	int			day;

	j2date(days, &year, &month, &day);
	return year * 10000 + month * 100 + day;
}

/* Hash UTF-8 text; return NULL, or what is wrong with it. */
static const char *
add_hash(PcapiIdentifiers *ids, PcapiKind kind, const char *country, const char *utf8, size_t len)
{
	PcapiIdentifierContext context = {{0}, 0};
	char		hex[PCAPI_HEX_LEN + 1];
	const char *warning = NULL;
	ListCell   *lc;

	strlcpy(context.country, country, sizeof(context.country));
	if (kind == PCAPI_DB)
		context.today = date_of_today();
	if (!pcapi_hash_identifier(kind, utf8, len, &context, hex, &warning))
		return warning;
	foreach(lc, ids->hashes[kind])
	{
		if (strcmp((char *) lfirst(lc), hex) == 0)
			return warning;
	}
	if (list_length(ids->hashes[kind]) >= VALUES_MAX)
		return "too many values, the rest left out";
	ids->hashes[kind] = lappend(ids->hashes[kind], pstrdup(hex));
	return warning;
}

/* a phone number that waits for its country */
typedef struct NationalPhone
{
	const char *key;			/* as the caller named it */
	char	   *utf8;
	size_t		len;
} NationalPhone;

static const char *
parse_hash(PcapiIdentifiers *ids, const char *key, PcapiKind kind, const char *s, size_t len)
{
	size_t		utf8_len;
	char	   *utf8;

	if (len > PCAPI_MAX_IDENTIFIER)
		return "too long";
	utf8 = pcapi_to_utf8(s, len, &utf8_len);
	if (utf8 == NULL)
		return "not valid in UTF-8";
	if (kind == PCAPI_PH && pcapi_phone_may_be_national(utf8, utf8_len))
	{
		NationalPhone *phone;

		if (list_length(ids->hashes[kind]) + list_length(ids->national) >= VALUES_MAX)
			return "too many values, the rest left out";
		phone = palloc(sizeof(NationalPhone));
		phone->key = key;
		phone->utf8 = utf8;
		phone->len = utf8_len;
		ids->national = lappend(ids->national, phone);
		return NULL;
	}
	return add_hash(ids, kind, ids->country, utf8, utf8_len);
}

const char *
pcapi_known_country(PcapiIdentifiers *ids)
{
	if (ids->country[0] == '\0' && ids->hashes[PCAPI_COUNTRY] != NIL)
		(void) pcapi_country_of_hash(linitial(ids->hashes[PCAPI_COUNTRY]), ids->country);
	return ids->country;
}

void
pcapi_hash_national(PcapiIdentifiers *ids, const char *country, List **warnings)
{
	List	   *stored = NIL;
	ListCell   *lc;

	/* the visitor's stand in where none of the call's own can be used */
	if (ids->own_phones == 0)
	{
		stored = ids->hashes[PCAPI_PH];
		ids->hashes[PCAPI_PH] = NIL;
	}
	foreach(lc, ids->national)
	{
		NationalPhone *phone = lfirst(lc);
		const char *wrong = add_hash(ids, PCAPI_PH, country, phone->utf8, phone->len);

		if (wrong)
			pcapi_warn(warnings, phone->key, wrong);
	}
	ids->own_phones = list_length(ids->hashes[PCAPI_PH]);
	if (ids->own_phones == 0)
		ids->hashes[PCAPI_PH] = stored;
}

void
pcapi_hash_national_anywhere(PcapiIdentifiers *ids, PcapiSettings *settings)
{
	List	   *ignored = NIL;
	ListCell   *lc;

	ids->own_phones = 1;		/* none replaces another */
	pcapi_hash_national(ids, "", &ignored);
	if (ids->country[0] != '\0')
		pcapi_hash_national(ids, ids->country, &ignored);
	foreach(lc, pcapi_default_countries(settings))
		pcapi_hash_national(ids, lfirst(lc), &ignored);
}

/* The country that user_data names; of several, the first that there is. */
static void
find_country(PcapiIdentifiers *ids, Jsonb *user_data)
{
	JsonbValue	buffer;
	const JsonbValue *v = getKeyJsonValueFromContainer(&user_data->root, "country", strlen("country"), &buffer);
	JsonbValue	elem;
	JsonbIterator *it = NULL;

	if (v == NULL)
		return;
	if (v->type == jbvBinary && JsonContainerIsArray(v->val.binary.data))
	{
		it = JsonbIteratorInit(v->val.binary.data);
		v = &elem;
	}
	for (;;)
	{
		if (it != NULL)
		{
			JsonbIteratorToken token = JsonbIteratorNext(&it, &elem, true);

			if (token == WJB_DONE)
				return;
			if (token != WJB_ELEM)
				continue;
		}
		if (v->type == jbvString && v->val.string.len <= PCAPI_MAX_IDENTIFIER)
		{
			size_t		len;
			char	   *utf8 = pcapi_to_utf8(v->val.string.val, v->val.string.len, &len);

			if (utf8 != NULL && pcapi_country_code(utf8, len, ids->country))
				return;
		}
		if (it == NULL)
			return;
	}
}

/*
 * One value of a key.  Where the API takes one value only, the first usable
 * one of an array stands.
 */
static const char *
parse_value(PcapiIdentifiers *ids, int key, const JsonbValue *v)
{
	int			kind = keys[key].kind;
	const char *s;
	size_t		len;

	if (v->type == jbvString)
	{
		s = v->val.string.val;
		len = v->val.string.len;
	}
	else if (v->type == jbvNumeric)
	{
		/* an id or a phone number that was kept as a number */
		s = numeric_normalize(v->val.numeric);
		len = strlen(s);
	}
	else
		return "not text";

	if (kind < PCAPI_KINDS)
		return parse_hash(ids, keys[key].name, (PcapiKind) kind, s, len);

	while (len > 0 && (unsigned char) *s <= ' ')
	{
		s++;
		len--;
	}
	while (len > 0 && (unsigned char) s[len - 1] <= ' ')
		len--;
	if (len == 0)
		return NULL;

	switch (kind)
	{
		case KEY_IP:
			return ids->ip ? NULL : parse_ip(ids, s, len);

		case KEY_USER_AGENT:
			return ids->user_agent ? NULL : parse_user_agent(&ids->user_agent, s, len);

		case KEY_CLICK_ID:
			return ids->click_id ? NULL : pcapi_parse_click_id(&ids->click_id, s, len);

		case KEY_CUSTOMER_TYPE:
			return ids->customer_type ? NULL : parse_customer_type(&ids->customer_type, s, len);

		default:
			Assert(kind == KEY_PARTNER_ID);
			return ids->partner_id ? NULL : parse_partner_id(&ids->partner_id, s, len);
	}
}

static void
clear(PcapiIdentifiers *ids, int kind)
{
	switch (kind)
	{
		case KEY_IP:
			ids->clear_ip = true;
			break;
		case KEY_USER_AGENT:
			ids->clear_user_agent = true;
			break;
		case KEY_CLICK_ID:
			ids->clear_click_id = true;
			break;
		case KEY_PARTNER_ID:
			ids->clear_partner_id = true;
			break;
		case KEY_CUSTOMER_TYPE:
			break;				/* there is no stored one */
		default:
			ids->cleared |= (uint32) 1 << kind;
	}
}

void
pcapi_identifiers_from_jsonb(PcapiIdentifiers *ids, Jsonb *user_data, List **warnings)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	v;
	int			key = -1;
	int			unknown = 0;

	memset(ids, 0, sizeof(*ids));
	if (user_data == NULL || JB_ROOT_COUNT(user_data) == 0)
		return;

	find_country(ids, user_data);
	it = JsonbIteratorInit(&user_data->root);
	(void) JsonbIteratorNext(&it, &v, true);	/* the object's beginning */
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		const char *wrong = NULL;

		if (token == WJB_KEY)
		{
			key = v.val.string.len > 0 ? find_key(v.val.string.val, v.val.string.len) : -1;
			if (key < 0)
				unknown++;
			continue;
		}
		if (token != WJB_VALUE || key < 0)
			continue;

		if (v.type == jbvNull)
			clear(ids, keys[key].kind);
		else if (v.type == jbvBinary && JsonContainerIsArray(v.val.binary.data))
		{
			JsonbIterator *elems = JsonbIteratorInit(v.val.binary.data);
			JsonbValue	elem;

			while ((token = JsonbIteratorNext(&elems, &elem, true)) != WJB_DONE)
			{
				if (token != WJB_ELEM || elem.type == jbvNull)
					continue;
				wrong = parse_value(ids, key, &elem);
				if (wrong)
					pcapi_warn(warnings, keys[key].name, wrong);
			}
		}
		else
		{
			wrong = parse_value(ids, key, &v);
			if (wrong)
				pcapi_warn(warnings, keys[key].name, wrong);
		}
	}

	/* of two aliases one may be null: a value outweighs it */
	for (int kind = 0; kind < PCAPI_KINDS; kind++)
	{
		if (ids->hashes[kind] != NIL || (kind == PCAPI_PH && ids->national != NIL))
			ids->cleared &= ~((uint32) 1 << kind);
	}
	ids->own_phones = list_length(ids->hashes[PCAPI_PH]);
	ids->clear_ip &= ids->ip == NULL;
	ids->clear_user_agent &= ids->user_agent == NULL;
	ids->clear_click_id &= ids->click_id == NULL;
	ids->clear_partner_id &= ids->partner_id == NULL;

	if (unknown > 0)
		pcapi_warn(warnings, "user_data",
				   unknown == 1 ? "1 unknown key left out" :
				   psprintf("%d unknown keys left out", unknown));
}

/*
 * Something by which Pinterest can find a person; name, place, gender and
 * birthday alone are none.
 */
bool
pcapi_has_identifier(const PcapiIdentifiers *ids, const PcapiDestination *dest)
{
	return ids->hashes[PCAPI_EM] != NIL ||
		ids->hashes[PCAPI_PH] != NIL ||
		ids->hashes[PCAPI_EXTERNAL_ID] != NIL ||
		ids->hashes[PCAPI_MAIDS] != NIL ||
		ids->click_id != NULL ||
		ids->partner_id != NULL ||
		(dest->send_client_ip && ids->ip && dest->send_user_agent && ids->user_agent);
}
