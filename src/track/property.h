/*
 * property.h
 *	  The keys of an event's properties: type, place in the API's JSON, limits.
 */
#ifndef PCAPI_PROPERTY_H
#define PCAPI_PROPERTY_H

#include "pinterest_capi.h"

#include "track/settings.h"

/* which object of the API's event a property leaves in */
typedef enum PcapiJsonObject
{
	PCAPI_IN_EVENT,
	PCAPI_IN_CUSTOM_DATA,
	PCAPI_IN_APP_INFO,
	PCAPI_IN_DEVICE_INFO,
	PCAPI_IN_CONTENTS,			/* a line of contents */
	PCAPI_NOT_SENT				/* used to make others */
} PcapiJsonObject;

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

typedef enum PcapiPropertyType
{
	PCAPI_TYPE_TEXT,			/* free text: scrubbed for PII */
	PCAPI_TYPE_TOKEN,			/* structured short text: ids, language, currency */
	PCAPI_TYPE_DECIMAL,			/* leaves as a JSON string */
	PCAPI_TYPE_INTEGER,
	PCAPI_TYPE_BOOLEAN,
	PCAPI_TYPE_TOKENS,			/* array of ids */
	PCAPI_TYPE_CONTENTS,
	PCAPI_TYPE_URL,
	PCAPI_TYPE_APP_INFO,		/* closed objects */
	PCAPI_TYPE_DEVICE_INFO
} PcapiPropertyType;

typedef struct PcapiProperty
{
	const char *name;			/* as allowed_event.properties calls it */
	const char *field;			/* key in the API's JSON */
	PcapiPropertyType type;
	PcapiJsonObject place;
	bool		structured;
	int64		max;			/* characters, or the greatest number */
	const char *const *values;	/* the only ones allowed, or NULL */
} PcapiProperty;

extern const PcapiProperty *pcapi_property(int property);

/* a key of "properties", or of one of the objects in it; -1: none */
extern int	pcapi_property_in(PcapiJsonObject place, const char *key, size_t len);
extern int	pcapi_property_from_name(const char *name, size_t len); /* -1: unknown to the API */
extern int	pcapi_property_count(void);
extern const char *pcapi_property_name(int property);
extern bool pcapi_property_structured(int property);	/* goes without being listed */
extern bool pcapi_property_listed(const PcapiAllowed *allowed, int property);

#endif							/* PCAPI_PROPERTY_H */
