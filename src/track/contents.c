/*
 * contents.c
 *	  A call's properties by key, and the fields about the products.
 *
 * The API has contents, content_ids and num_items.  Callers have a product and
 * a quantity, or an order's lines; the missing fields are derived from them.
 */
#include "pinterest_capi.h"

#include "track/contents.h"
#include "track/property.h"
#include "track/property_value.h"
#include "track/settings.h"
#include "track/warning.h"
#include "utils/json.h"

#define LINES_MAX	1000

void
pcapi_properties_from_jsonb(PcapiProperties *props, Jsonb *properties)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	v;
	int			property = -1;

	memset(props, 0, sizeof(*props));
	if (properties == NULL || JB_ROOT_COUNT(properties) == 0)
		return;

	it = JsonbIteratorInit(&properties->root);
	(void) JsonbIteratorNext(&it, &v, true);	/* the object's beginning */
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			property = pcapi_property_in(PCAPI_IN_EVENT, v.val.string.val, v.val.string.len);
			if (property < 0)
				props->unknown++;
		}
		else if (token == WJB_VALUE && property >= 0 && v.type != jbvNull)
		{
			JsonbValue *kept = palloc(sizeof(JsonbValue));

			*kept = v;
			props->given[property] = kept;
		}
	}

	if (props->unknown > 0)
		pcapi_warn(&props->warnings, "properties",
				   props->unknown == 1 ? "1 unknown key left out" :
				   psprintf("%d unknown keys left out", props->unknown));

	if (props->given[PCAPI_PROP_OPT_OUT])
	{
		/* an unclear value may be meant as an opt-out */
		if (pcapi_value_boolean(props->given[PCAPI_PROP_OPT_OUT], &props->opt_out) != NULL)
		{
			pcapi_warn(&props->warnings, "opt_out", "not a boolean, taken as true");
			props->opt_out = true;
		}
	}
}

/* Return whether a line has a negative quantity, as the returns in an order have. */
static bool
is_negative(JsonbContainer *line)
{
	JsonbValue	buffer;
	const JsonbValue *v = getKeyJsonValueFromContainer(line, "quantity", strlen("quantity"), &buffer);
	char	   *ignored;

	return v != NULL && pcapi_value_decimal(v, &ignored) == pcapi_negative;
}

/*
 * Append one line; false when nothing in it is usable.  *id and *quantity get the
 * line's part of the totals.  A line with a negative quantity is left out: sent
 * without its quantity it would count as one item.
 */
static bool
append_line(StringInfo buf, JsonbContainer *line, const PcapiAllowed *allowed,
			char **id, int64 *quantity, List **warnings)
{
	int			start = buf->len;
	bool		any = false;
	int			property = -1;
	JsonbIterator *it = JsonbIteratorInit(line);
	JsonbIteratorToken token;
	JsonbValue	v;

	*id = NULL;
	*quantity = 1;
	if (is_negative(line))
	{
		pcapi_warn(warnings, "contents", "lines with a negative quantity left out");
		return false;
	}
	if (buf->data[start - 1] != '[')
		appendStringInfoCharMacro(buf, ',');
	appendStringInfoCharMacro(buf, '{');
	(void) JsonbIteratorNext(&it, &v, true);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		const PcapiProperty *p;

		if (token == WJB_KEY)
		{
			property = pcapi_property_in(PCAPI_IN_CONTENTS, v.val.string.val, v.val.string.len);
			if (property < 0)
				pcapi_warn(warnings, "contents", "unknown keys left out");
			continue;
		}
		if (token != WJB_VALUE || property < 0 || v.type == jbvNull)
			continue;
		p = pcapi_property(property);
		if (!pcapi_property_listed(allowed, property))
		{
			pcapi_warn(warnings, p->name, "not listed for this event, left out");
			continue;
		}
		if (!pcapi_append_property(buf, property, &v, warnings))
			continue;
		any = true;
		if (strcmp(p->field, "id") == 0)
			(void) pcapi_value_token(&v, p->max, id);
		else if (strcmp(p->field, "quantity") == 0)
			(void) pcapi_value_integer(&v, p->max, quantity);
	}
	if (!any)
	{
		buf->len = start;
		buf->data[start] = '\0';
		return false;
	}
	appendStringInfoCharMacro(buf, '}');
	return true;
}

/* what content_ids and num_items are derived from, if they are not given */
typedef struct Totals
{
	List	   *ids;			/* of char * */
	int64		items;
	bool		any;
} Totals;

/* Append the contents that the call has, line by line, and count them. */
static void
append_given_contents(StringInfo buf, const JsonbValue *contents, const PcapiAllowed *allowed,
					  Totals *totals, List **warnings)
{
	int			start = buf->len;
	int			lines = 0;
	char	   *id;
	int64		quantity;

	if (contents->type != jbvBinary)
	{
		pcapi_warn(warnings, "contents", "not an array of objects");
		return;
	}
	pcapi_append_key(buf, "contents");
	appendStringInfoCharMacro(buf, '[');
	if (JsonContainerIsObject(contents->val.binary.data))
	{
		/* a single line */
		if (append_line(buf, contents->val.binary.data, allowed, &id, &quantity, warnings))
		{
			lines = 1;
			totals->items = quantity;
			if (id)
				totals->ids = lappend(totals->ids, id);
		}
	}
	else
	{
		JsonbIterator *it = JsonbIteratorInit(contents->val.binary.data);
		JsonbIteratorToken token;
		JsonbValue	elem;

		while ((token = JsonbIteratorNext(&it, &elem, true)) != WJB_DONE)
		{
			if (token != WJB_ELEM || elem.type == jbvNull)
				continue;
			if (elem.type != jbvBinary || !JsonContainerIsObject(elem.val.binary.data))
			{
				pcapi_warn(warnings, "contents", "not an array of objects");
				continue;
			}
			if (lines >= LINES_MAX)
			{
				pcapi_warn(warnings, "contents", "too many lines, the rest left out");
				break;
			}
			if (!append_line(buf, elem.val.binary.data, allowed, &id, &quantity, warnings))
				continue;
			lines++;
			totals->items += quantity;
			if (id)
				totals->ids = lappend(totals->ids, id);
		}
	}
	if (lines == 0)
	{
		buf->len = start;
		buf->data[start] = '\0';
		return;
	}
	totals->any = true;
	appendStringInfoCharMacro(buf, ']');
}

void
pcapi_append_products(StringInfo buf, const PcapiProperties *props,
					  const PcapiAllowed *allowed, List **warnings)
{
	const JsonbValue *const *given = props->given;
	Totals		totals = {NIL, 0, false};
	char	   *product = NULL;
	int64		quantity = -1;	/* none */
	bool		ids_done = false;
	ListCell   *lc;

	if (given[PCAPI_PROP_CONTENTS])
		append_given_contents(buf, given[PCAPI_PROP_CONTENTS], allowed, &totals, warnings);

	if (given[PCAPI_PROP_QUANTITY])
	{
		const char *wrong = pcapi_value_integer(given[PCAPI_PROP_QUANTITY],
												pcapi_property(PCAPI_PROP_QUANTITY)->max, &quantity);

		if (wrong)
		{
			pcapi_warn(warnings, "quantity", wrong);
			quantity = -1;
		}
	}
	if (given[PCAPI_PROP_PRODUCT_ID])
	{
		const char *wrong = pcapi_value_token(given[PCAPI_PROP_PRODUCT_ID],
											  pcapi_property(PCAPI_PROP_PRODUCT_ID)->max, &product);

		if (wrong)
			pcapi_warn(warnings, "product_id", wrong);
		else if (product && (totals.any || given[PCAPI_PROP_PRODUCT_IDS]))
		{
			pcapi_warn(warnings, "product_id", totals.any ?
					   "left out, since contents is given" :
					   "left out, since product_ids is given");
			product = NULL;
		}
	}

	if (product)
	{
		pcapi_append_key(buf, "contents");
		appendStringInfoString(buf, "[{");
		pcapi_append_string(buf, "id", product);
		if (quantity >= 0)
			pcapi_append_integer(buf, "quantity", quantity);
		appendStringInfoString(buf, "}]");
		totals.any = true;
		totals.items = quantity >= 0 ? quantity : 1;
		totals.ids = list_make1(product);
	}

	if (given[PCAPI_PROP_CONTENT_IDS])
		ids_done = pcapi_append_property(buf, PCAPI_PROP_CONTENT_IDS,
										 given[PCAPI_PROP_CONTENT_IDS], warnings);
	if (!ids_done && given[PCAPI_PROP_PRODUCT_IDS])
		ids_done = pcapi_append_property(buf, PCAPI_PROP_PRODUCT_IDS,
										 given[PCAPI_PROP_PRODUCT_IDS], warnings);
	if (!ids_done && totals.ids != NIL)
	{
		pcapi_append_key(buf, "content_ids");
		foreach(lc, totals.ids)
		{
			appendStringInfoCharMacro(buf, foreach_current_index(lc) == 0 ? '[' : ',');
			escape_json(buf, (char *) lfirst(lc));
		}
		appendStringInfoCharMacro(buf, ']');
	}

	if (given[PCAPI_PROP_NUM_ITEMS] &&
		pcapi_append_property(buf, PCAPI_PROP_NUM_ITEMS, given[PCAPI_PROP_NUM_ITEMS], warnings))
		return;
	if (totals.any)
		pcapi_append_integer(buf, "num_items", totals.items);
	else if (quantity >= 0)
		pcapi_append_integer(buf, "num_items", quantity);
}
