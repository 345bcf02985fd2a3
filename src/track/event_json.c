/*
 * event_json.c
 *	  An event's JSON, exactly as it will stand in the request's data array.
 *
 * Fields come in a fixed order, each of the API's type, none null, no array or
 * object empty.  Whether the event is sent at all is decided in track.c; user_data
 * is in user_data_json.c, products are in contents.c.
 */
#include "pinterest_capi.h"

#include "common/encoding.h"
#include "common/unix_time.h"
#include "core/url.h"
#include "track/contents.h"
#include "track/event_json.h"
#include "track/property.h"
#include "track/property_value.h"
#include "track/settings.h"
#include "track/user_data.h"
#include "track/user_data_json.h"
#include "track/warning.h"
#include "utils/json.h"
#include "utils/timestamp.h"

/* Append a property that was given, where it is listed for the event. */
static bool
append_property_if_listed(StringInfo buf, int property, const PcapiProperties *props,
						  const PcapiAllowed *allowed, List **warnings)
{
	if (props->given[property] == NULL)
		return false;
	if (!pcapi_property_listed(allowed, property))
	{
		pcapi_warn(warnings, pcapi_property_name(property), "not listed for this event, left out");
		return false;
	}
	return pcapi_append_property(buf, property, props->given[property], warnings);
}

/* Bytes; browsers and servers accept no longer ones.  Half a path would be another page. */
#define URL_MAX		8192

/* Append event_source_url, as much of it as the destination's page_url_detail says. */
static void
append_page_url(StringInfo buf, const PcapiProperties *props, PcapiUrlDetail detail, List **warnings)
{
	int			property = props->given[PCAPI_PROP_PAGE_URL] ?
		PCAPI_PROP_PAGE_URL : PCAPI_PROP_EVENT_SOURCE_URL;
	const JsonbValue *v = props->given[property];
	const char *warning = NULL;
	char	   *utf8;
	size_t		len;
	char	   *scrubbed;

	if (v == NULL || detail == PCAPI_URL_NONE)
		return;
	utf8 = v->type == jbvString ? pcapi_to_utf8(v->val.string.val, v->val.string.len, &len) : NULL;
	if (utf8 == NULL)
	{
		pcapi_warn(warnings, pcapi_property_name(property), "not a URL");
		return;
	}
	scrubbed = pcapi_scrub_url(utf8, len, detail, &warning);
	if (scrubbed && strlen(scrubbed) > URL_MAX)
	{
		free(scrubbed);
		scrubbed = pcapi_scrub_url(utf8, len, PCAPI_URL_DOMAIN, &warning);
		warning = "too long, only the domain goes";
	}
	if (scrubbed)
	{
		char	   *url = pcapi_from_utf8(scrubbed, strlen(scrubbed));

		free(scrubbed);
		if (url)
			pcapi_append_string(buf, "event_source_url", url);
		else
			warning = "not a URL";
	}
	if (warning)
		pcapi_warn(warnings, pcapi_property_name(property), warning);
}

/* Append value or currency.  Return the text that it has in the JSON, or NULL if it can't be used. */
static const char *
append_amount(StringInfo buf, int property, const JsonbValue *v, List **warnings)
{
	int			start;

	if (v == NULL || !pcapi_append_property(buf, property, v, warnings))
		return NULL;
	/* a string at the end, and neither digits nor letters are escaped */
	for (start = buf->len - 1; buf->data[start - 1] != '"';)
		start--;
	return pnstrdup(buf->data + start, buf->len - 1 - start);
}

/*
 * Append value and currency.  A checkout must have both; any other event is sent
 * without the one that can't be used.  The destination's default replaces both:
 * its amount in another currency would be an invention.  Return NULL, or the
 * reason why the event is rejected.
 */
static const char *
append_money(StringInfo buf, const PcapiProperties *props, const PcapiAllowed *allowed, List **warnings,
			 PcapiFacts *facts)
{
	const PcapiDestination *dest = allowed->destination;
	const JsonbValue *value = props->given[PCAPI_PROP_VALUE];
	const JsonbValue *currency = props->given[PCAPI_PROP_CURRENCY];
	char	   *amount;
	char	   *code;

	if (strcmp(allowed->sent_as, "checkout") != 0)
	{
		facts->currency = append_amount(buf, PCAPI_PROP_CURRENCY, currency, warnings);
		facts->value = append_amount(buf, PCAPI_PROP_VALUE, value, warnings);
		return NULL;
	}

	if (value == NULL)
	{
		if (dest->default_checkout_value == NULL)
			return "missing value";
		amount = dest->default_checkout_value;
		code = dest->default_checkout_currency;
		pcapi_warn(warnings, "value",
				   psprintf("missing, the destination's default of %s %s stands in", amount, code));
	}
	else
	{
		if (pcapi_value_decimal(value, &amount) != NULL)
			return "invalid value";
		if (currency == NULL)
			return "missing currency";
		if (pcapi_value_currency(currency, &code) != NULL)
			return "invalid currency";
	}
	pcapi_append_string(buf, "currency", code);
	pcapi_append_string(buf, "value", amount);
	facts->currency = code;
	facts->value = value ? amount : psprintf("%c%s", PCAPI_STAND_IN, amount);
	return NULL;
}

/* Append app_info or device_info: closed objects of simple properties. */
static void
append_info(StringInfo buf, int property, PcapiJsonObject place, const PcapiProperties *props,
			const PcapiAllowed *allowed, List **warnings)
{
	const JsonbValue *info = props->given[property];
	const char *name = pcapi_property_name(property);
	int			start = buf->len;
	int			inner;
	int			field = -1;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	v;

	if (info == NULL)
		return;
	if (info->type != jbvBinary || !JsonContainerIsObject(info->val.binary.data))
	{
		pcapi_warn(warnings, name, "not an object");
		return;
	}
	pcapi_append_key(buf, name);
	appendStringInfoCharMacro(buf, '{');
	inner = buf->len;
	it = JsonbIteratorInit(info->val.binary.data);
	(void) JsonbIteratorNext(&it, &v, true);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			field = pcapi_property_in(place, v.val.string.val, v.val.string.len);
			if (field < 0)
				pcapi_warn(warnings, name, "unknown keys left out");
		}
		else if (token == WJB_VALUE && field >= 0 && v.type != jbvNull)
		{
			if (pcapi_property_listed(allowed, field))
				(void) pcapi_append_property(buf, field, &v, warnings);
			else
				pcapi_warn(warnings, name, "fields not listed for this event left out");
		}
	}
	if (buf->len == inner)
	{
		buf->len = start;
		buf->data[start] = '\0';
		return;
	}
	appendStringInfoCharMacro(buf, '}');
}

/* Append custom_data, unless it is empty.  Return NULL, or the reason why the event is rejected. */
static const char *
append_custom_data(StringInfo buf, const PcapiProperties *props, const PcapiAllowed *allowed,
				   List **warnings, PcapiFacts *facts)
{
	int			start = buf->len;
	int			inner;
	const char *reason;

	pcapi_append_key(buf, "custom_data");
	appendStringInfoCharMacro(buf, '{');
	inner = buf->len;

	reason = append_money(buf, props, allowed, warnings, facts);
	if (reason)
		return reason;
	(void) append_property_if_listed(buf, PCAPI_PROP_ORDER_ID, props, allowed, warnings);
	pcapi_append_products(buf, props, allowed, warnings);
	for (int property = PCAPI_PROP_PREDICTED_LTV; property <= PCAPI_PROP_MEASUREMENT_VENDOR_ID; property++)
		(void) append_property_if_listed(buf, property, props, allowed, warnings);

	if (buf->len == inner)
	{
		buf->len = start;
		buf->data[start] = '\0';
		return NULL;
	}
	appendStringInfoCharMacro(buf, '}');
	return NULL;
}

/* Return whole seconds since 1970, rounded down: rounding up could make a time of the future. */
static int64
unix_seconds(TimestampTz t)
{
	int64		us = pcapi_unix_us(t);
	int64		s = us / USECS_PER_SEC;

	return us < 0 && us % USECS_PER_SEC != 0 ? s - 1 : s;
}

const char *
pcapi_build_event(const PcapiAllowed *allowed, const PcapiProperties *props,
				  const PcapiIdentifiers *ids, const char *action_source,
				  const char *event_id, TimestampTz event_time,
				  List **warnings, char **payload, PcapiFacts *facts)
{
	const PcapiDestination *dest = allowed->destination;
	StringInfoData buf;
	const char *reason;

	*payload = NULL;
	initStringInfo(&buf);
	appendStringInfoCharMacro(&buf, '{');
	pcapi_append_string(&buf, "event_name", allowed->sent_as);
	pcapi_append_string(&buf, "action_source", action_source);
	pcapi_append_integer(&buf, "event_time", unix_seconds(event_time));
	pcapi_append_string(&buf, "event_id", event_id);
	append_page_url(&buf, props, dest->page_url_detail, warnings);
	if (props->given[PCAPI_PROP_OPT_OUT])
	{
		pcapi_append_key(&buf, "opt_out");
		appendStringInfoString(&buf, props->opt_out ? "true" : "false");
	}
	for (int property = PCAPI_PROP_TRACKING_ENABLED; property <= PCAPI_PROP_WIFI; property++)
		(void) append_property_if_listed(&buf, property, props, allowed, warnings);

	pcapi_append_user_data(&buf, ids, dest);
	facts->carries = pcapi_carries(ids, dest);
	reason = append_custom_data(&buf, props, allowed, warnings, facts);
	if (reason)
	{
		pfree(buf.data);
		return reason;
	}
	append_info(&buf, PCAPI_PROP_APP_INFO, PCAPI_IN_APP_INFO, props, allowed, warnings);
	append_info(&buf, PCAPI_PROP_DEVICE_INFO, PCAPI_IN_DEVICE_INFO, props, allowed, warnings);
	appendStringInfoCharMacro(&buf, '}');
	*payload = buf.data;
	return NULL;
}
