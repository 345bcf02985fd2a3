/*
 * property.h
 *	  The keys of an event's properties: type, place in the API's JSON, limits.
 */
#ifndef PCAPI_PROPERTY_H
#define PCAPI_PROPERTY_H

#include "pinterest_capi.h"

#include "track/settings.h"

/* the object of the API's event in which a property is sent */
typedef enum PcapiJsonObject
{
	PCAPI_IN_EVENT,
	PCAPI_IN_CUSTOM_DATA,
	PCAPI_IN_APP_INFO,
	PCAPI_IN_DEVICE_INFO,
	PCAPI_IN_CONTENTS,			/* a line of contents */
	PCAPI_NOT_SENT				/* other properties are made of it */
} PcapiJsonObject;

/*
 * Numbers of the properties that are keys of track's parameter "properties",
 * in the order in which they are sent.  The fields of app_info, device_info and
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
	PCAPI_TYPE_DECIMAL,			/* sent as a JSON string */
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
	const char *name;			/* as in allowed_event.properties */
	const char *field;			/* key in the API's JSON */
	PcapiPropertyType type;
	PcapiJsonObject place;
	bool		structured;		/* sent without being listed for the event */
	int64		max;			/* characters, or the greatest number */
	const char *const *values;	/* the only ones allowed, or NULL */
} PcapiProperty;

/* Return the property of a key of "properties", or of one of the objects in it; or -1. */
extern int	pcapi_property_in(PcapiJsonObject place, const char *key, size_t len);

/* Return the property of a name in allowed_event.properties, or -1. */
extern int	pcapi_property_from_name(const char *name, size_t len);

extern const PcapiProperty *pcapi_property(int property);
extern const char *pcapi_property_name(int property);
extern bool pcapi_property_structured(int property);
extern int	pcapi_property_count(void);

/*
 * Return whether a property may be sent with an event.  Listing app_info or
 * device_info lists all of its fields, listing one field lists that one.
 */
extern bool pcapi_property_listed(const PcapiAllowed *allowed, int property);

#endif							/* PCAPI_PROPERTY_H */
