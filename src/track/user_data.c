/*
 * user_data.c
 *	  A call's user_data, checked and hashed: raw identifiers end here.
 *
 * Which keys there are, and the form of those that are not hashed, is in
 * user_data_key.c; normalisation before hashing is in src/core.  A visitor's
 * stored identifiers are added in visitor.c.
 */
#include "pinterest_capi.h"

#include "common/encoding.h"
#include "core/normalize.h"
#include "core/normalize_phone.h"
#include "core/normalize_place.h"
#include "core/sha256.h"
#include "track/settings.h"
#include "track/settings_cache.h"
#include "track/user_data.h"
#include "track/user_data_key.h"
#include "track/warning.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/numeric.h"

#define VALUES_MAX		100		/* of one key; nobody has more e-mail addresses */

/* Return the latest date on earth as YYYYMMDD: a day ahead of Greenwich's. */
static int
latest_date_on_earth(void)
{
	int			days = (int) (GetCurrentTimestamp() / USECS_PER_DAY) + POSTGRES_EPOCH_JDATE + 1;
	int			year;
	int			month;
	int			day;

	j2date(days, &year, &month, &day);
	return year * 10000 + month * 100 + day;
}

/* Add 64 hex digits, unless they are there already.  Return NULL, or why not. */
static const char *
add_digest(PcapiIdentifiers *ids, PcapiKind kind, const char *hex)
{
	ListCell   *lc;

	foreach(lc, ids->hashes[kind])
	{
		if (strcmp((char *) lfirst(lc), hex) == 0)
			return NULL;
	}
	if (list_length(ids->hashes[kind]) >= VALUES_MAX)
		return "too many values, the rest left out";
	ids->hashes[kind] = lappend(ids->hashes[kind], pstrdup(hex));
	return NULL;
}

/* Hash UTF-8 text and add the hash.  Return NULL, or what is wrong with the text. */
static const char *
add_hash(PcapiIdentifiers *ids, PcapiKind kind, const char *country, const char *utf8, size_t len)
{
	PcapiIdentifierContext context = {{0}, 0};
	char		hex[PCAPI_HEX_LEN + 1];
	const char *warning = NULL;
	const char *refused;

	strlcpy(context.country, country, sizeof(context.country));
	if (kind == PCAPI_DB)
		context.today = latest_date_on_earth();
	if (!pcapi_hash_identifier(kind, utf8, len, &context, hex, &warning))
		return warning;
	refused = add_digest(ids, kind, hex);
	return refused ? refused : warning;
}

/* a phone number that is not hashed before its country is known */
typedef struct NationalPhone
{
	const char *name;			/* of the key, as the caller wrote it */
	JsonbContainer *forms;		/* hashed on a source: by country; else NULL */
	char	   *utf8;
	size_t		len;
} NationalPhone;

/* Keep a phone number until its country is known.  Return NULL, or why not. */
static const char *
add_national(PcapiIdentifiers *ids, const char *name, JsonbContainer *forms, char *utf8, size_t len)
{
	NationalPhone *phone;

	if (list_length(ids->hashes[PCAPI_PH]) + list_length(ids->national) >= VALUES_MAX)
		return "too many values, the rest left out";
	phone = palloc(sizeof(NationalPhone));
	phone->name = name;
	phone->forms = forms;
	phone->utf8 = utf8;
	phone->len = len;
	ids->national = lappend(ids->national, phone);
	return NULL;
}

/* ---- values that were hashed on a source ---- */

static char *
text_member(JsonbContainer *object, const char *key)
{
	JsonbValue	buffer;
	JsonbValue *v = getKeyJsonValueFromContainer(object, key, strlen(key), &buffer);

	return v && v->type == jbvString ? pnstrdup(v->val.string.val, v->val.string.len) : NULL;
}

static JsonbContainer *
object_member(JsonbContainer *object, const char *key)
{
	JsonbValue	buffer;
	JsonbValue *v = getKeyJsonValueFromContainer(object, key, strlen(key), &buffer);

	return v && v->type == jbvBinary && JsonContainerIsObject(v->val.binary.data) ? v->val.binary.data : NULL;
}

/* Add the hash of {"hash": ..., "warning": ...}.  Return the warning, or NULL. */
static const char *
add_result(PcapiIdentifiers *ids, PcapiKind kind, JsonbContainer *result)
{
	char	   *hash = text_member(result, "hash");
	const char *refused = NULL;

	if (hash && strlen(hash) == PCAPI_HEX_LEN && pcapi_is_sha256_hex(hash, PCAPI_HEX_LEN))
		refused = add_digest(ids, kind, hash);
	return refused ? refused : text_member(result, "warning");
}

/*
 * Return the result for a country.  A source knows two at most: for no country,
 * and for its own, which stands in for one that it doesn't know.
 */
static JsonbContainer *
national_form(JsonbContainer *forms, const char *country)
{
	JsonbContainer *form = object_member(forms, country);
	JsonbIterator *it;
	JsonbValue	v;
	JsonbIteratorToken token;

	if (form)
		return form;
	it = JsonbIteratorInit(forms);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		/* jsonb has the empty key first */
		if (token == WJB_VALUE && v.type == jbvBinary && JsonContainerIsObject(v.val.binary.data))
			form = v.val.binary.data;
	}
	return form;
}

/* ---- values as they were given ---- */

/*
 * Add the hash of a text in the database's encoding, or keep a phone number
 * that may be in national form.  Return NULL, or what is wrong with it.
 */
static const char *
parse_hashed(PcapiIdentifiers *ids, PcapiKind kind, const char *name, const char *s, size_t len)
{
	size_t		utf8_len;
	char	   *utf8;

	if (len > PCAPI_MAX_IDENTIFIER)
		return "too long";
	utf8 = pcapi_to_utf8(s, len, &utf8_len);
	if (utf8 == NULL)
		return "not valid in UTF-8";
	if (kind == PCAPI_PH && pcapi_phone_may_be_national(utf8, utf8_len))
		return add_national(ids, name, NULL, utf8, utf8_len);
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

	/* a visitor's stored numbers are used where none of the call's own can be */
	if (ids->own_phones == 0)
	{
		stored = ids->hashes[PCAPI_PH];
		ids->hashes[PCAPI_PH] = NIL;
	}
	foreach(lc, ids->national)
	{
		NationalPhone *phone = lfirst(lc);
		JsonbContainer *form = phone->forms ? national_form(phone->forms, country) : NULL;
		const char *wrong = NULL;

		if (form)
			wrong = add_result(ids, PCAPI_PH, form);
		else if (phone->utf8)
			wrong = add_hash(ids, PCAPI_PH, country, phone->utf8, phone->len);
		if (wrong)
			pcapi_warn(warnings, phone->name, wrong);
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

/* Set the country of the call; false: the value names none. */
static bool
set_country(PcapiIdentifiers *ids, const JsonbValue *v)
{
	size_t		len;
	char	   *utf8;

	if (v->type != jbvString || v->val.string.len > PCAPI_MAX_IDENTIFIER)
		return false;
	utf8 = pcapi_to_utf8(v->val.string.val, v->val.string.len, &len);
	return utf8 != NULL && pcapi_country_code(utf8, len, ids->country);
}

/* Find the country that user_data names; of an array, the first that exists. */
static void
find_country(PcapiIdentifiers *ids, Jsonb *user_data)
{
	const char *name = pcapi_user_data_fields[PCAPI_COUNTRY].name;
	JsonbValue	buffer;
	const JsonbValue *v = getKeyJsonValueFromContainer(&user_data->root, name, strlen(name), &buffer);
	JsonbIterator *elements;
	JsonbIteratorToken token;
	JsonbValue	element;

	if (v == NULL)
		return;
	if (v->type != jbvBinary || !JsonContainerIsArray(v->val.binary.data))
	{
		(void) set_country(ids, v);
		return;
	}
	elements = JsonbIteratorInit(v->val.binary.data);
	while ((token = JsonbIteratorNext(&elements, &element, true)) != WJB_DONE)
	{
		if (token == WJB_ELEM && set_country(ids, &element))
			return;
	}
}

/*
 * Parse one value of a key.  Where the API takes one value only, the first
 * usable element of an array counts.  Return NULL, or what is wrong with it.
 */
static const char *
parse_value(PcapiIdentifiers *ids, int key, const char *name, const JsonbValue *v)
{
	const PcapiUserDataField *field = &pcapi_user_data_fields[key];
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

	if (field->parse == NULL)
		return parse_hashed(ids, (PcapiKind) key, name, s, len);

	while (len > 0 && (unsigned char) *s <= ' ')
	{
		s++;
		len--;
	}
	while (len > 0 && (unsigned char) s[len - 1] <= ' ')
		len--;
	if (len == 0 || ids->texts[key] != NULL)
		return NULL;
	return field->parse(&ids->texts[key], s, len);
}

/* Parse what a source has made of one value.  Return NULL, or what was wrong with it. */
static const char *
parse_result(PcapiIdentifiers *ids, int key, const char *name, const JsonbValue *v)
{
	static const char not_text[] = "not text";
	JsonbContainer *object;
	JsonbContainer *forms;
	const char *warning;

	/* what is not hashed */
	if (v->type != jbvBinary || !JsonContainerIsObject(v->val.binary.data))
		return parse_value(ids, key, name, v);
	object = v->val.binary.data;
	forms = key == PCAPI_PH ? object_member(object, "national") : NULL;
	if (forms)
		return add_national(ids, name, forms, NULL, 0);
	if (key < PCAPI_KINDS)
		return add_result(ids, (PcapiKind) key, object);
	warning = text_member(object, "warning");
	/* the first usable element counts: those behind it are looked at no more */
	return warning && ids->texts[key] != NULL && strcmp(warning, not_text) != 0 ? NULL : warning;
}

/* Parse a key's value or the elements of its array, and clear the key where it is null. */
static void
parse_key(PcapiIdentifiers *ids, int key, const char *name, const JsonbValue *v, bool hashed, List **warnings)
{
	const char *(*parse) (PcapiIdentifiers *, int, const char *, const JsonbValue *) = hashed ? parse_result : parse_value;
	JsonbIterator *elements;
	JsonbIteratorToken token;
	JsonbValue	element;
	const char *wrong;

	if (v->type == jbvNull)
	{
		ids->cleared |= PCAPI_KEY_BIT(key);
		return;
	}
	if (v->type != jbvBinary || !JsonContainerIsArray(v->val.binary.data))
	{
		wrong = parse(ids, key, name, v);
		if (wrong)
			pcapi_warn(warnings, name, wrong);
		return;
	}
	elements = JsonbIteratorInit(v->val.binary.data);
	while ((token = JsonbIteratorNext(&elements, &element, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM || element.type == jbvNull)
			continue;
		wrong = parse(ids, key, name, &element);
		if (wrong)
			pcapi_warn(warnings, name, wrong);
	}
}

void
pcapi_identifiers_from_jsonb(PcapiIdentifiers *ids, Jsonb *user_data, bool hashed, List **warnings)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	v;
	const char *name = NULL;
	int			key = -1;
	int			unknown = 0;

	memset(ids, 0, sizeof(*ids));
	if (user_data == NULL || JB_ROOT_COUNT(user_data) == 0)
		return;

	/* phone numbers and states are hashed as those of the country */
	find_country(ids, user_data);
	it = JsonbIteratorInit(&user_data->root);
	(void) JsonbIteratorNext(&it, &v, true);	/* the object's beginning */
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			key = pcapi_user_data_key(v.val.string.val, v.val.string.len, &name);
			if (key < 0)
				unknown++;
		}
		else if (token == WJB_VALUE && key >= 0)
			parse_key(ids, key, name, &v, hashed, warnings);
	}

	/* of two aliases one may be null: a value outweighs it */
	for (int k = 0; k < PCAPI_USER_DATA_KEYS; k++)
	{
		if (pcapi_is_given(ids, k) || (k == PCAPI_PH && ids->national != NIL))
			ids->cleared &= ~PCAPI_KEY_BIT(k);
	}
	ids->own_phones = list_length(ids->hashes[PCAPI_PH]);

	if (unknown > 0)
		pcapi_warn(warnings, "user_data",
				   unknown == 1 ? "1 unknown key left out" :
				   psprintf("%d unknown keys left out", unknown));
}

/* Return whether a key is given and the destination may be sent it. */
static inline bool
is_sent(const PcapiIdentifiers *ids, int key, const PcapiDestination *dest)
{
	return pcapi_is_given(ids, key) && (dest->withheld & PCAPI_KEY_BIT(key)) == 0;
}

bool
pcapi_sends_client(const PcapiIdentifiers *ids, const PcapiDestination *dest)
{
	return is_sent(ids, PCAPI_CLIENT_IP, dest) && is_sent(ids, PCAPI_CLIENT_USER_AGENT, dest);
}

/* Name, place, gender and birthday alone identify nobody. */
bool
pcapi_has_identifier(const PcapiIdentifiers *ids, const PcapiDestination *dest)
{
	for (int key = 0; key < PCAPI_USER_DATA_KEYS; key++)
		if (pcapi_user_data_fields[key].identifies && is_sent(ids, key, dest))
			return true;
	return pcapi_sends_client(ids, dest);
}
