/*
 * column.c
 *	  Values of columns as JSON, for triggers.
 *
 * Dates are always written in ISO form: DateStyle belongs to the session, and
 * a birthday must not depend on it.  Which column is which key is trigger.c's.
 */
#include "session/column.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#define TEXT_MAX		(1024 * 1024)	/* bytes looked at; no property is longer */
#define ELEMENTS_MAX	1000
#define SECONDS_MAX		9.0e12	/* a timestamptz ends in the year 294276 */

/* 1900 to 2300: what lies outside is no event, and could overflow in a time zone */
#define FIRST_DAY		(-36524)
#define LAST_DAY		109575

void
pcapi_column_type_init(PcapiColumnType *ct, Oid type, MemoryContext context)
{
	Oid			output;
	bool		is_varlena;
	Oid			base = getBaseType(type);

	memset(ct, 0, sizeof(*ct));
	ct->type = base;
	ct->element = get_element_type(base);
	if (OidIsValid(ct->element))
	{
		ct->element = getBaseType(ct->element);
		get_typlenbyvalalign(ct->element, &ct->element_len, &ct->element_byval, &ct->element_align);
	}
	getTypeOutputInfo(OidIsValid(ct->element) ? ct->element : base, &output, &is_varlena);
	fmgr_info_cxt(output, &ct->output, context);
}

static void
set_string(JsonbValue *out, char *s)
{
	size_t		len = strlen(s);

	if (len > TEXT_MAX)
		len = pg_mbcliplen(s, (int) Min(len, MaxAllocSize), TEXT_MAX);
	out->type = jbvString;
	out->val.string.val = s;
	out->val.string.len = (int) len;
}

static void
set_numeric(JsonbValue *out, PGFunction convert, Datum value)
{
	out->type = jbvNumeric;
	out->val.numeric = DatumGetNumeric(DirectFunctionCall1(convert, value));
}

static void
set_jsonb(JsonbValue *out, Jsonb *jb)
{
	if (JB_ROOT_IS_SCALAR(jb))
		(void) JsonbExtractScalar(&jb->root, out);
	else
	{
		out->type = jbvBinary;
		out->val.binary.data = &jb->root;
		out->val.binary.len = VARSIZE(jb) - VARHDRSZ;
	}
}

typedef struct JsonInput
{
	char	   *text;
	Jsonb	   *result;
} JsonInput;

static void
parse_json(void *arg)
{
	JsonInput  *in = arg;

	in->result = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(in->text)));
}

/* A value that is no array. */
static bool
scalar_to_json(Oid type, FmgrInfo *output, Datum value, JsonbValue *out, const char **wrong)
{
	char	   *s;

	switch (type)
	{
		case BOOLOID:
			out->type = jbvBool;
			out->val.boolean = DatumGetBool(value);
			return true;

		case INT2OID:
			set_numeric(out, int2_numeric, value);
			return true;

		case INT4OID:
			set_numeric(out, int4_numeric, value);
			return true;

		case INT8OID:
			set_numeric(out, int8_numeric, value);
			return true;

		case NUMERICOID:
			/* JSON has no NaN: as text it is told to be no number */
			if (numeric_is_nan(DatumGetNumeric(value)) || numeric_is_inf(DatumGetNumeric(value)))
				break;
			out->type = jbvNumeric;
			out->val.numeric = DatumGetNumeric(value);
			return true;

		case FLOAT4OID:
			if (isnan(DatumGetFloat4(value)) || isinf(DatumGetFloat4(value)))
				break;
			set_numeric(out, float4_numeric, value);
			return true;

		case FLOAT8OID:
			if (isnan(DatumGetFloat8(value)) || isinf(DatumGetFloat8(value)))
				break;
			set_numeric(out, float8_numeric, value);
			return true;

		case JSONBOID:
			set_jsonb(out, DatumGetJsonbP(value));
			return true;

		case JSONOID:
			{
				/* json takes what jsonb refuses, such as \u0000 */
				JsonInput	in = {TextDatumGetCString(value), NULL};

				if (!pcapi_guarded(parse_json, &in))
				{
					*wrong = "JSON that can't be read";
					return false;
				}
				set_jsonb(out, in.result);
				return true;
			}

		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			s = palloc(MAXDATELEN + 1);
			JsonEncodeDateTime(s, value, type, NULL);
			set_string(out, s);
			return true;

		case INETOID:
			/* an address, without the network that it is kept with */
			s = OutputFunctionCall(output, value);
			s[strcspn(s, "/")] = '\0';
			set_string(out, s);
			return true;

		default:
			break;
	}
	set_string(out, OutputFunctionCall(output, value));
	return true;
}

static bool
elements_to_json(const PcapiColumnType *ct, Datum value, JsonbValue *out, const char **wrong)
{
	PcapiJsonb	state = {0};
	Datum	   *elems;
	bool	   *nulls;
	int			n;
	ArrayType  *array = DatumGetArrayTypeP(value);

	/* elements of a domain are its base type's in all but the name */
	deconstruct_array(array, ARR_ELEMTYPE(array), ct->element_len,
					  ct->element_byval, ct->element_align, &elems, &nulls, &n);
	PcapiJsonbPush(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < Min(n, ELEMENTS_MAX); i++)
	{
		JsonbValue	elem;

		if (nulls[i])
			continue;
		if (!scalar_to_json(ct->element, unconstify(FmgrInfo *, &ct->output), elems[i], &elem, wrong))
			return false;
		PcapiJsonbPush(&state, WJB_ELEM, &elem);
	}
	PcapiJsonbPush(&state, WJB_END_ARRAY, NULL);
	set_jsonb(out, JsonbValueToJsonb(state.result));
	return true;
}

bool
pcapi_column_to_json(const PcapiColumnType *ct, Datum value, JsonbValue *out, const char **wrong)
{
	if (OidIsValid(ct->element))
		return elements_to_json(ct, value, out, wrong);
	return scalar_to_json(ct->type, unconstify(FmgrInfo *, &ct->output), value, out, wrong);
}

char *
pcapi_column_to_text(const PcapiColumnType *ct, Datum value)
{
	JsonbValue	v;
	const char *wrong;

	if (!pcapi_column_to_json(ct, value, &v, &wrong))
		return NULL;
	switch (v.type)
	{
		case jbvString:
			return pnstrdup(v.val.string.val, v.val.string.len);
		case jbvNumeric:
			return numeric_normalize(v.val.numeric);
		case jbvBool:
			return pstrdup(v.val.boolean ? "true" : "false");
		case jbvBinary:
			return JsonbToCString(NULL, v.val.binary.data, v.val.binary.len);
		default:
			return NULL;
	}
}

static bool
seconds_to_time(double seconds, TimestampTz *out)
{
	double		us;

	if (isnan(seconds) || seconds < -SECONDS_MAX || seconds > SECONDS_MAX)
		return false;
	us = rint(seconds * USECS_PER_SEC) -
		(double) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
	*out = (TimestampTz) us;
	return IS_VALID_TIMESTAMP(*out);
}

typedef struct TimeInput
{
	char	   *text;
	TimestampTz result;
} TimeInput;

static void
parse_time(void *arg)
{
	TimeInput  *in = arg;

	in->result = DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in,
														 CStringGetDatum(in->text),
														 ObjectIdGetDatum(InvalidOid),
														 Int32GetDatum(-1)));
}

bool
pcapi_column_to_time(const PcapiColumnType *ct, Datum value, TimestampTz *out)
{
	TimeInput	in = {0};
	char	   *end;
	double		seconds;

	switch (ct->type)
	{
		case TIMESTAMPTZOID:
			*out = DatumGetTimestampTz(value);
			return !TIMESTAMP_NOT_FINITE(*out);

		case TIMESTAMPOID:
			/* in the session's time zone */
			*out = DatumGetTimestamp(value);
			if (*out < FIRST_DAY * USECS_PER_DAY || *out > LAST_DAY * USECS_PER_DAY)
				return false;
			*out = DatumGetTimestampTz(DirectFunctionCall1(timestamp_timestamptz, value));
			return true;

		case DATEOID:
			if (DatumGetDateADT(value) < FIRST_DAY || DatumGetDateADT(value) > LAST_DAY)
				return false;
			*out = DatumGetTimestampTz(DirectFunctionCall1(date_timestamptz, value));
			return true;

		default:
			break;
	}

	in.text = pcapi_column_to_text(ct, value);
	if (in.text == NULL || in.text[0] == '\0' || strlen(in.text) > MAXDATELEN)
		return false;
	seconds = strtod(in.text, &end);
	if (end != in.text && *end == '\0')
		return seconds_to_time(seconds, out);
	if (!pcapi_guarded(parse_time, &in) || TIMESTAMP_NOT_FINITE(in.result))
		return false;
	*out = in.result;
	return true;
}
