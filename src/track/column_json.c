/*
 * column_json.c
 *	  Values of columns as JSON and as text, for triggers.
 *
 * A value is converted by the server's own casts: to a number or to JSON where
 * its type has such a cast and its key accepts the result, else to text.  The
 * session's DateStyle, IntervalStyle, extra_float_digits and bytea_output have
 * no effect.  A value's size is checked before anything is built from it: no
 * value may break the statement that wrote its row.  Which cast a type has is
 * in column_type.c, which column is which key in mapping.c.
 */
#include "pinterest_capi.h"

#include <math.h>

#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "common/subxact.h"
#include "core/json_sanitize.h"
#include "mb/pg_wchar.h"
#include "track/column_json.h"
#include "track/column_type.h"
#include "track/jsonb_push.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#define TEXT_MAX		(1024 * 1024)	/* bytes read of a text; no property is longer */
#define OUTPUT_MAX		(128 * 1024)	/* bytes; the text of a bit string is eight times as long */
#define TREE_MAX		(16 * 1024 * 1024)	/* bytes of an array, a row or JSON */
#define ELEMENTS_MAX	100000	/* of an array; how many a key takes is decided later */

static const char too_large[] = "too large, left out";
static const char part_too_large[] = "an element is too large, left out";
static const char too_many[] = "too many elements, the rest left out";
static const char too_deep[] = "nested too deep, left out";
static const char not_json[] = "JSON that can't be read";

/* ---- text ---- */

/* Return what the type's output function makes of a value, or NULL. */
static char *
output_text(const PcapiColumnType *ct, Datum value)
{
	bool		isnull;
	Datum		text = pcapi_column_call(ct, value, &isnull);

	return isnull ? NULL : DatumGetCString(text);
}

/* Return the shortest digits that tell the number from its neighbours, whatever extra_float_digits is. */
static char *
float_text(Oid type, Datum value)
{
	double		number = type == FLOAT4OID ? DatumGetFloat4(value) : DatumGetFloat8(value);
	char	   *s;

	if (isnan(number))
		return pstrdup("NaN");
	if (isinf(number))
		return pstrdup(number > 0 ? "Infinity" : "-Infinity");
	s = palloc(Max(DOUBLE_SHORTEST_DECIMAL_LEN, FLOAT_SHORTEST_DECIMAL_LEN));
	if (type == FLOAT4OID)
		(void) float_to_shortest_decimal_buf(DatumGetFloat4(value), s);
	else
		(void) double_to_shortest_decimal_buf(number, s);
	return s;
}

/* Convert a character(n) as its cast to text does: without the padding. */
static char *
unpadded(Datum value)
{
	char	   *s = TextDatumGetCString(value);
	size_t		len = strlen(s);

	while (len > 0 && s[len - 1] == ' ')
		s[--len] = '\0';
	return s;
}

/* Return at most max bytes in hex, 0: all; or NULL if a string can't hold them. */
static char *
bytea_text(Datum value, Size max)
{
	bytea	   *b;
	Size		len;
	char	   *s;

	if (max == 0 && toast_raw_datum_size(value) > (MaxAllocSize - 8) / 2)
		return NULL;
	b = max == 0 ? DatumGetByteaPP(value) : DatumGetByteaPSlice(value, 0, max);
	len = VARSIZE_ANY_EXHDR(b);
	s = palloc(2 * len + 3);
	s[0] = '\\';
	s[1] = 'x';
	s[2 + hex_encode(VARDATA_ANY(b), len, s + 2)] = '\0';
	return s;
}

/* Return an address without its netmask. */
static char *
address_text(Datum value)
{
	char	   *s = DatumGetCString(DirectFunctionCall1(inet_out, value));

	s[strcspn(s, "/")] = '\0';
	return s;
}

/* Convert a date or time as JSON does, whatever DateStyle is. */
static char *
date_text(Oid type, Datum value)
{
	return JsonEncodeDateTime(palloc(MAXDATELEN + 1), value, type, NULL);
}

/* ---- JSON ---- */

/* the state of one value's conversion */
typedef struct Conversion
{
	const PcapiColumnType *ct;
	Datum		value;
	JsonbValue *out;
	const char *wrong;
	int			elements;		/* of arrays, so far */
	bool		found;
} Conversion;

static bool set_value(Conversion *c, const PcapiColumnType *ct, Datum value, JsonbValue *out);

/* Set a text, clipped to TEXT_MAX. */
static void
set_string_len(JsonbValue *out, char *s, size_t len)
{
	if (len > TEXT_MAX)
		len = pg_mbcliplen(s, (int) len, TEXT_MAX);
	out->type = jbvString;
	out->val.string.val = s;
	out->val.string.len = (int) len;
}

static bool
set_string(JsonbValue *out, char *s)
{
	if (s == NULL)
		return false;
	set_string_len(out, s, strlen(s));
	return true;
}

/* Set the beginning of a text; the rest is not even detoasted. */
static void
set_text(JsonbValue *out, Datum value)
{
	text	   *t;

	if (toast_raw_datum_size(value) > TEXT_MAX + VARHDRSZ)
		t = DatumGetTextPSlice(value, 0, TEXT_MAX + MAX_MULTIBYTE_CHAR_LEN);
	else
		t = DatumGetTextPP(value);
	set_string_len(out, VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t));
}

static void
set_numeric(JsonbValue *out, Datum number)
{
	out->type = jbvNumeric;
	out->val.numeric = DatumGetNumeric(number);
}

/* Return whether containers are nested deeper than a number of levels. */
static bool
is_deeper(const JsonbContainer *container, int levels)
{
	uint32		n = JsonContainerSize(container) * (JsonContainerIsObject(container) ? 2 : 1);
	const char *base = (const char *) &container->children[n];
	uint32		offset = 0;

	if (levels == 0)
		return true;
	for (uint32 i = 0; i < n; i++)
	{
		if (JBE_ISCONTAINER(container->children[i]) &&
			is_deeper((const JsonbContainer *) (base + INTALIGN(offset)), levels - 1))
			return true;
		JBE_ADVANCE_OFFSET(offset, container->children[i]);
	}
	return false;
}

/*
 * Set JSON; false: it is nested so deep that building a call's JSON from it could
 * exceed the stack, of which less is left here than where it was built.  A small
 * value can't be nested so deep: each level takes a header and an entry.
 */
static bool
set_jsonb(Conversion *c, Jsonb *jb, JsonbValue *out)
{
	if (VARSIZE(jb) > PCAPI_JSON_DEPTH * 2 * sizeof(uint32) && is_deeper(&jb->root, PCAPI_JSON_DEPTH))
	{
		c->wrong = too_deep;
		return false;
	}
	if (JB_ROOT_IS_SCALAR(jb))
		(void) JsonbExtractScalar(&jb->root, out);
	else
	{
		out->type = jbvBinary;
		out->val.binary.data = &jb->root;
		out->val.binary.len = VARSIZE(jb) - VARHDRSZ;
	}
	return true;
}

/* Set a value of a type that is known by its OID. */
static bool
set_known(Conversion *c, Oid type, Datum value, JsonbValue *out)
{
	switch (type)
	{
		case BOOLOID:
			out->type = jbvBool;
			out->val.boolean = DatumGetBool(value);
			return true;

		case INT2OID:
			set_numeric(out, DirectFunctionCall1(int2_numeric, value));
			return true;

		case INT4OID:
			set_numeric(out, DirectFunctionCall1(int4_numeric, value));
			return true;

		case INT8OID:
			set_numeric(out, DirectFunctionCall1(int8_numeric, value));
			return true;

		case CASHOID:
			/* its text has the currency and the separators of the session's locale */
			set_numeric(out, DirectFunctionCall1(cash_numeric, value));
			return true;

		case NUMERICOID:
			/* JSON has no NaN: as text it gets the warning that it is no number */
			if (numeric_is_nan(DatumGetNumeric(value)) || numeric_is_inf(DatumGetNumeric(value)))
				return set_string(out, DatumGetCString(DirectFunctionCall1(numeric_out, value)));
			set_numeric(out, value);
			return true;

		case FLOAT4OID:
		case FLOAT8OID:
			{
				char	   *s = float_text(type, value);

				if (s[0] == 'N' || strchr(s, 'I') != NULL)
					return set_string(out, s);
				set_numeric(out, DirectFunctionCall3(numeric_in, CStringGetDatum(s),
													 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
				return true;
			}

		case JSONBOID:
			return set_jsonb(c, DatumGetJsonbP(value), out);

		case JSONOID:
			value = DirectFunctionCall1(jsonb_in, CStringGetDatum(TextDatumGetCString(value)));
			return set_jsonb(c, DatumGetJsonbP(value), out);

		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return set_string(out, date_text(type, value));

		case INETOID:
			return set_string(out, address_text(value));

		case BPCHAROID:
			set_text(out, value);
			while (out->val.string.len > 0 && out->val.string.val[out->val.string.len - 1] == ' ')
				out->val.string.len--;
			return true;

		default:
			Assert(type == BYTEAOID);
			return set_string(out, bytea_text(value, TEXT_MAX));
	}
}

/* Set the result of a type's cast. */
static bool
set_cast(Conversion *c, const PcapiColumnType *ct, Datum value, JsonbValue *out)
{
	bool		isnull;
	Datum		result = pcapi_column_call(ct, value, &isnull);

	if (isnull)
		return false;
	if (ct->result == TEXTOID)
	{
		set_text(out, result);
		return true;
	}
	if (toast_raw_datum_size(result) > TREE_MAX)
	{
		c->wrong = too_large;
		return false;
	}
	return set_known(c, ct->result, result, out);
}

/* Set a composite value as an object; a field that can't be converted is null. */
static bool
set_row(Conversion *c, Datum value, JsonbValue *out)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(value);
	TupleDesc	desc = lookup_rowtype_tupdesc_copy(HeapTupleHeaderGetTypeId(header),
												   HeapTupleHeaderGetTypMod(header));
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(header), .t_data = header};
	PcapiJsonb	state = {0};

	check_stack_depth();
	PcapiJsonbPush(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		PcapiColumnType ct;
		Datum		field;
		bool		isnull;
		JsonbValue	v;

		if (att->attisdropped)
			continue;
		pcapi_push_string(&state, WJB_KEY, NameStr(att->attname));
		field = heap_getattr(&tuple, i + 1, desc, &isnull);
		if (!isnull)
			pcapi_column_type_init(&ct, att->atttypid, PCAPI_COLUMN_AS_JSON, CurrentMemoryContext);
		if (isnull || !set_value(c, &ct, field, &v))
			v.type = jbvNull;
		PcapiJsonbPush(&state, WJB_VALUE, &v);
	}
	PcapiJsonbPush(&state, WJB_END_OBJECT, NULL);
	return set_jsonb(c, JsonbValueToJsonb(state.result), out);
}

/* Push the elements that are not null.  Dimensions, and arrays in elements, are flattened into one array. */
static void
push_elements(Conversion *c, const PcapiColumnType *array, Datum value, PcapiJsonb *state)
{
	PcapiColumnType buffer;
	const PcapiColumnType *ct = pcapi_column_type_resolve(array->element, &buffer);
	ArrayIterator it = array_create_iterator(DatumGetArrayTypeP(value), 0, NULL);
	Datum		element;
	bool		isnull;

	check_stack_depth();
	while (array_iterate(it, &element, &isnull))
	{
		JsonbValue	v;

		CHECK_FOR_INTERRUPTS();
		if (isnull)
			continue;
		if (c->elements >= ELEMENTS_MAX)
		{
			c->wrong = too_many;
			break;
		}
		if (ct->form == PCAPI_COLUMN_ARRAY)
			push_elements(c, ct, element, state);
		else if (set_value(c, ct, element, &v))
		{
			c->elements++;
			PcapiJsonbPush(state, WJB_ELEM, &v);
		}
		else if (c->wrong == too_large)
			c->wrong = part_too_large;
	}
	array_free_iterator(it);
}

/* Set any value, after checking its size. */
static bool
set_value(Conversion *c, const PcapiColumnType *ct, Datum value, JsonbValue *out)
{
	PcapiColumnType buffer;
	PcapiJsonb	state = {0};
	Size		max;

	ct = pcapi_column_type_resolve(ct, &buffer);
	if (ct->form == PCAPI_COLUMN_ARRAY || ct->form == PCAPI_COLUMN_ROW ||
		ct->type == JSONBOID || ct->type == JSONOID)
		max = TREE_MAX;
	else
		max = ct->form == PCAPI_COLUMN_OUTPUT ? OUTPUT_MAX : MaxAllocSize;
	if (pcapi_column_size(ct, value) > max)
	{
		c->wrong = too_large;
		return false;
	}
	switch (ct->form)
	{
		case PCAPI_COLUMN_KNOWN:
			return set_known(c, ct->type, value, out);

		case PCAPI_COLUMN_TEXT:
			set_text(out, value);
			return true;

		case PCAPI_COLUMN_ARRAY:
			PcapiJsonbPush(&state, WJB_BEGIN_ARRAY, NULL);
			push_elements(c, ct, value, &state);
			PcapiJsonbPush(&state, WJB_END_ARRAY, NULL);
			return set_jsonb(c, JsonbValueToJsonb(state.result), out);

		case PCAPI_COLUMN_ROW:
			return set_row(c, value, out);

		case PCAPI_COLUMN_OUTPUT:
			return set_string(out, output_text(ct, value));

		default:
			return set_cast(c, ct, value, out);
	}
}

static void
convert(void *arg)
{
	Conversion *c = arg;

	c->found = set_value(c, c->ct, c->value, c->out);
}

bool
pcapi_column_to_json(const PcapiColumnType *ct, Datum value, JsonbValue *out, const char **wrong)
{
	Conversion	c = {ct, value, out};

	if (!ct->unchecked)
		convert(&c);
	else if (!pcapi_try_subxact(convert, &c))
	{
		c.found = false;
		c.wrong = not_json;
	}
	*wrong = c.wrong;
	return c.found;
}

/* ---- text, for keys that are neither properties nor user_data ---- */

char *
pcapi_column_to_text(const PcapiColumnType *ct, Datum value, const char **wrong)
{
	JsonbValue	v;

	*wrong = NULL;
	/* an array as its cast makes it, braces and all */
	if (ct->form == PCAPI_COLUMN_ARRAY)
	{
		if (toast_raw_datum_size(value) <= OUTPUT_MAX)
			return output_text(ct, value);
		*wrong = too_large;
		return NULL;
	}
	/* whole, however long it is: the beginning of an id is another id */
	if (ct->form == PCAPI_COLUMN_TEXT)
		return TextDatumGetCString(value);
	switch (ct->type)
	{
		case BPCHAROID:
			return unpadded(value);

		case BYTEAOID:
			{
				char	   *s = bytea_text(value, 0);

				if (s == NULL)
					*wrong = too_large;
				return s;
			}

		case NUMERICOID:
			return DatumGetCString(DirectFunctionCall1(numeric_out, value));

		case FLOAT4OID:
		case FLOAT8OID:
			return float_text(ct->type, value);

		default:
			break;
	}

	if (!pcapi_column_to_json(ct, value, &v, wrong))
		return NULL;
	switch (v.type)
	{
		case jbvString:
			return pnstrdup(v.val.string.val, v.val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(v.val.numeric)));
		case jbvBool:
			return pstrdup(v.val.boolean ? "true" : "false");
		case jbvBinary:
			return JsonbToCString(NULL, v.val.binary.data, v.val.binary.len);
		default:
			return NULL;
	}
}
