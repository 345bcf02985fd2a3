/*
 * column_type.c
 *	  Choose a type's casts and functions that convert its values.
 *
 * The choice for the server's own types is kept.  A user-defined type is resolved
 * for each value: its casts and functions can be dropped or replaced at any time,
 * and sessions are not told.
 */
#include "pinterest_capi.h"

#include "access/detoast.h"
#include "access/transam.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "track/column_type.h"
#include "utils/bytea.h"
#include "utils/float.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

/* Choose the cast of a user-defined type; false: it has none to the result. */
static bool
find_cast(PcapiColumnType *ct, Oid result, MemoryContext context)
{
	Oid			function;

	switch (find_coercion_pathway(result, ct->type, COERCION_EXPLICIT, &function))
	{
		case COERCION_PATH_FUNC:
			ct->form = PCAPI_COLUMN_CAST;
			ct->result = result;
			fmgr_info_cxt(function, &ct->convert, context);
			return true;
		case COERCION_PATH_RELABELTYPE:
			ct->form = result == TEXTOID ? PCAPI_COLUMN_TEXT : PCAPI_COLUMN_KNOWN;
			if (result != TEXTOID)
				ct->type = result;
			return true;
		default:
			return false;
	}
}

/* Choose how to convert the values of a type that is not among the known ones. */
static void
find_form(PcapiColumnType *ct, MemoryContext context)
{
	Oid			output;
	bool		is_varlena;
	char		kind = get_typtype(ct->type);
	bool		is_row = kind == TYPTYPE_COMPOSITE || ct->type == RECORDOID;

	if (ct->per_value)
	{
		if (ct->use == PCAPI_COLUMN_AS_NUMBER && find_cast(ct, NUMERICOID, context))
			return;
		if (ct->use == PCAPI_COLUMN_AS_JSON &&
			(find_cast(ct, JSONBOID, context) || find_cast(ct, JSONOID, context)))
			return;
	}
	if (is_row && ct->use == PCAPI_COLUMN_AS_JSON)
	{
		ct->form = PCAPI_COLUMN_ROW;
		return;
	}
	if (ct->per_value && find_cast(ct, TEXTOID, context))
		return;
	ct->form = PCAPI_COLUMN_OUTPUT;
	getTypeOutputInfo(ct->type, &output, &is_varlena);
	fmgr_info_cxt(output, &ct->convert, context);
}

/* Return whether column_json.c converts the type by its OID. */
static bool
is_known(Oid type)
{
	switch (type)
	{
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case NUMERICOID:
		case FLOAT4OID:
		case FLOAT8OID:
		case CASHOID:
		case JSONBOID:
		case JSONOID:
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case INETOID:
		case BPCHAROID:
		case BYTEAOID:
			return true;
		default:
			return false;
	}
}

void
pcapi_column_type_init(PcapiColumnType *ct, Oid type, PcapiColumnUse use, MemoryContext context)
{
	Oid			element;
	char		kind;

	memset(ct, 0, sizeof(*ct));
	ct->type = getBaseType(type);
	ct->use = use;
	ct->len = get_typlen(ct->type);
	if (is_known(ct->type))
	{
		ct->form = PCAPI_COLUMN_KNOWN;
		ct->unchecked = ct->type == JSONOID;
		return;
	}
	element = get_element_type(ct->type);
	if (OidIsValid(element))
	{
		Oid			output;
		bool		is_varlena;

		ct->form = PCAPI_COLUMN_ARRAY;
		ct->element = MemoryContextAlloc(context, sizeof(PcapiColumnType));
		pcapi_column_type_init(ct->element, element, use, context);
		ct->unchecked = ct->element->unchecked;
		ct->runs_user_code = ct->element->runs_user_code;
		getTypeOutputInfo(ct->type, &output, &is_varlena);
		fmgr_info_cxt(output, &ct->convert, context);
		return;
	}
	if (IsBinaryCoercible(ct->type, TEXTOID))
	{
		ct->form = PCAPI_COLUMN_TEXT;
		return;
	}
	kind = get_typtype(ct->type);
	ct->per_value = ct->type >= FirstNormalObjectId && kind != TYPTYPE_ENUM;
	ct->runs_user_code = ct->per_value || kind == TYPTYPE_COMPOSITE || kind == TYPTYPE_PSEUDO;
	if (!ct->per_value)
		find_form(ct, context);
}

const PcapiColumnType *
pcapi_column_type_resolve(const PcapiColumnType *ct, PcapiColumnType *buffer)
{
	if (!ct->per_value)
		return ct;
	*buffer = *ct;
	find_form(buffer, CurrentMemoryContext);
	buffer->per_value = false;
	return buffer;
}

Size
pcapi_column_size(const PcapiColumnType *ct, Datum value)
{
	if (ct->len == -1)
		return toast_raw_datum_size(value);
	return ct->len == -2 ? strlen(DatumGetCString(value)) : 0;
}

Datum
pcapi_column_call(const PcapiColumnType *ct, Datum value, bool *isnull)
{
	LOCAL_FCINFO(fcinfo, 3);
	int			level = 0;
	Datum		result;

	if (DateStyle != USE_ISO_DATES || IntervalStyle != INTSTYLE_POSTGRES ||
		extra_float_digits < 1 || bytea_output != BYTEA_OUTPUT_HEX)
	{
		static const char *const settings[][2] = {
			{"datestyle", "ISO"}, {"intervalstyle", "postgres"},
			{"extra_float_digits", "1"}, {"bytea_output", "hex"}
		};

		level = NewGUCNestLevel();
		for (int i = 0; i < lengthof(settings); i++)
			(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION,
									 GUC_ACTION_SAVE, true, 0, false);
	}
	/* a cast's function may ask for the type modifier, and whether it was written */
	InitFunctionCallInfoData(*fcinfo, unconstify(FmgrInfo *, &ct->convert), ct->convert.fn_nargs,
							 DEFAULT_COLLATION_OID, NULL, NULL);
	fcinfo->args[0].value = value;
	fcinfo->args[1].value = Int32GetDatum(-1);
	fcinfo->args[2].value = BoolGetDatum(true);
	for (int i = 0; i < 3; i++)
		fcinfo->args[i].isnull = false;
	result = FunctionCallInvoke(fcinfo);
	*isnull = fcinfo->isnull;
	if (level > 0)
		AtEOXact_GUC(true, level);
	return result;
}
