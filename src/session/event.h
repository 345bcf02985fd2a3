/*
 * event.h
 *	  Between the files that make an event's JSON; nobody else needs it.
 */
#ifndef PCAPI_EVENT_H
#define PCAPI_EVENT_H

#include "session/session.h"

#include "fmgr.h"
#include "lib/stringinfo.h"

/* --- property.c --- */

/* which object of the API's event a property leaves in */
typedef enum PcapiPlace
{
	PCAPI_IN_EVENT,
	PCAPI_IN_CUSTOM_DATA,
	PCAPI_IN_APP_INFO,
	PCAPI_IN_DEVICE_INFO,
	PCAPI_IN_CONTENTS,			/* a line of contents */
	PCAPI_NOT_SENT				/* used to make others */
} PcapiPlace;

/*
 * Numbers of the properties that are keys of track's parameter "properties",
 * in the order in which they leave.  The fields of app_info, device_info and
 * contents follow them in the table and need no names here.
 */
typedef enum PcapiPropertyId
{
	PCAPI_PROP_PAGE_URL,
	PCAPI_PROP_EVENT_SOURCE_URL,
	PCAPI_PROP_OPT_OUT,
	PCAPI_PROP_TRACKING_ENABLED,
	PCAPI_PROP_PARTNER_NAME,
	PCAPI_PROP_LANGUAGE,
	PCAPI_PROP_APP_ID,
	PCAPI_PROP_APP_NAME,
	PCAPI_PROP_APP_VERSION,
	PCAPI_PROP_DEVICE_BRAND,
	PCAPI_PROP_DEVICE_CARRIER,
	PCAPI_PROP_DEVICE_MODEL,
	PCAPI_PROP_DEVICE_TYPE,
	PCAPI_PROP_OS_VERSION,
	PCAPI_PROP_WIFI,
	PCAPI_PROP_CURRENCY,
	PCAPI_PROP_VALUE,
	PCAPI_PROP_ORDER_ID,
	PCAPI_PROP_NUM_ITEMS,
	PCAPI_PROP_CONTENT_IDS,
	PCAPI_PROP_CONTENTS,
	PCAPI_PROP_PREDICTED_LTV,
	PCAPI_PROP_SEARCH_STRING,
	PCAPI_PROP_CONTENT_NAME,
	PCAPI_PROP_CONTENT_CATEGORY,
	PCAPI_PROP_CONTENT_BRAND,
	PCAPI_PROP_OPT_OUT_TYPE,
	PCAPI_PROP_NP,
	PCAPI_PROP_MEASUREMENT_ID,
	PCAPI_PROP_MEASUREMENT_VENDOR_ID,
	PCAPI_PROP_APP_INFO,
	PCAPI_PROP_DEVICE_INFO,
	PCAPI_PROP_PRODUCT_ID,
	PCAPI_PROP_PRODUCT_IDS,
	PCAPI_PROP_QUANTITY,
	PCAPI_PROP_REFERRER
} PcapiPropertyId;

#define PCAPI_TOP_PROPERTIES	(PCAPI_PROP_REFERRER + 1)

typedef struct PcapiProperty
{
	const char *name;			/* as allowed_event.properties calls it */
	const char *field;			/* key in the API's JSON */
	PcapiPropertyType type;
	PcapiPlace	place;
	bool		structured;
	int64		max;			/* characters, or the greatest number */
	const char *const *values;	/* the only ones allowed, or NULL */
} PcapiProperty;

extern const PcapiProperty *pcapi_property(int property);

/* a key of "properties", or of one of the objects in it; -1: none */
extern int	pcapi_property_in(PcapiPlace place, const char *key, size_t len);

/* --- value.c: one JSON value into what the API takes --- */

/*
 * These return NULL when all is well, else a static text that says what is
 * wrong without the value.
 */
extern const char pcapi_negative[]; /* what pcapi_value_decimal says of a number below zero */
extern const char *pcapi_value_decimal(const JsonbValue *v, char **out);
extern const char *pcapi_value_integer(const JsonbValue *v, int64 max, int64 *out);
extern const char *pcapi_value_boolean(const JsonbValue *v, bool *out);
extern const char *pcapi_value_currency(const JsonbValue *v, char **out);

/*
 * What is wrong with a text that would leave as it is, by pcapi_pii_find or
 * pcapi_pii_find_in_id; NULL when all is well.
 */
extern const char *pcapi_private(const char *s, size_t len,
								 const char *(*find) (const char *, size_t));

/* a short text without blanks around it; *out NULL without an error: empty */
extern const char *pcapi_value_token(const JsonbValue *v, int64 max, char **out);

/* free text, without PII, clipped; *note as a warning for what still goes */
extern const char *pcapi_value_text(const JsonbValue *v, int64 max, char **out, const char **note);

/*
 * "field":value of a simple property, after a comma where one is needed.
 * False when nothing was appended; the reason is in the warnings then.
 */
extern bool pcapi_append_property(StringInfo buf, int property, const JsonbValue *v,
								  List **warnings);
extern void pcapi_append_key(StringInfo buf, const char *key);
extern void pcapi_append_string(StringInfo buf, const char *key, const char *value);
extern void pcapi_append_integer(StringInfo buf, const char *key, int64 value);

extern void pcapi_warn(List **warnings, const char *key, const char *what);

/* --- contents.c: what was bought --- */

typedef struct PcapiProperties
{
	const JsonbValue *given[PCAPI_TOP_PROPERTIES];	/* NULL: absent, or JSON null */
	int			unknown;		/* number of keys that are no property */
	bool		opt_out;
	List	   *warnings;		/* independent of the destination */
} PcapiProperties;

extern void pcapi_properties_from_jsonb(PcapiProperties *props, Jsonb *properties);

/* contents, content_ids and num_items: given, or made of what is there */
extern void pcapi_append_products(StringInfo buf, const PcapiProperties *props,
								  const PcapiAllowed *allowed, List **warnings);

/* --- event.c --- */

/*
 * The event as it stands in the request's data array.  Returns NULL and fills
 * *payload, or returns the reason why it can't be sent.
 */
extern const char *pcapi_build_event(const PcapiAllowed *allowed, const PcapiProperties *props,
									 const PcapiIdentifiers *ids, const char *action_source,
									 const char *event_id, TimestampTz event_time,
									 List **warnings, char **payload);

/* --- identity.c --- */

extern bool pcapi_is_identifier_key(const char *key, size_t len);
extern bool pcapi_has_identifier(const PcapiIdentifiers *ids, const PcapiDestination *dest);

/*
 * Bytes of a URL or of cookies in which a click id is looked for; no browser
 * or server takes as many.  Less than column.c leaves of a longer text, whose
 * last parameter would be another click id.
 */
#define PCAPI_CLICK_SOURCE_MAX	(512 * 1024)

/* NULL when *click_id was set, else what is wrong with it */
extern const char *pcapi_take_click_id(char **click_id, const char *s, size_t len);

/* --- track.c --- */

extern bool pcapi_is_action_source(const char *name);

/* the parameters of track and preview */
extern void pcapi_call_from_args(PcapiCall *call, FunctionCallInfo fcinfo);

/* --- preview.c --- */

#define PCAPI_PREVIEW_COLUMNS	6

/* what a call would become, without writing it; of PcapiDecision * */
extern List *pcapi_preview(PcapiCall *call);

/* a row of preview, from its first column on */
extern void pcapi_preview_row(const PcapiDecision *d, Datum *values, bool *nulls);

#endif							/* PCAPI_EVENT_H */
