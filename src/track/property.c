/*
 * property.c
 *	  The keys of an event's properties: type, place in the API's JSON, limits.
 *
 * A property that is not in this table is never sent, and no other type than the
 * table's is.  Converting a value is in property_value.c, making fields from
 * products in contents.c.  Source: Pinterest's OpenAPI description, 5.28.0 of
 * 2026-09-30; advertiser_tracking_enabled stands in its example alone.
 */
#include "pinterest_capi.h"

#include "track/property.h"
#include "track/settings.h"

/* Our own limits where the API sets none, in characters but for COUNT_MAX: beyond what shops have. */
#define TEXT_MAX	1024
#define ID_MAX		512
#define COUNT_MAX	INT64CONST(1000000000)

static const char *const form_factors[] = {
	"desktop", "laptop", "cellphone", "tablet", "smartwatch", "tv", "vr",
	"console", "other", NULL
};
static const char *const network_types[] = {
	"wifi", "cellular_2g", "cellular_3g", "cellular_4g", "cellular_5g",
	"cellular_6g", "ethernet", "unknown", NULL
};
static const char *const os_families[] = {
	"ios", "android", "macos", "windows", "linux", "bsd", "other", NULL
};

#define EVENT(name, type, structured, max) \
	{name, name, type, PCAPI_IN_EVENT, structured, max, NULL}
#define CUSTOM(name, type, structured, max) \
	{name, name, type, PCAPI_IN_CUSTOM_DATA, structured, max, NULL}
#define APP(name, type, max) \
	{"app_info." name, name, type, PCAPI_IN_APP_INFO, false, max, NULL}
#define DEVICE(name, type, max, values) \
	{"device_info." name, name, type, PCAPI_IN_DEVICE_INFO, false, max, values}

static const PcapiProperty properties[] =
{
	[PCAPI_PROP_PAGE_URL] = {"page_url", "event_source_url", PCAPI_TYPE_URL, PCAPI_IN_EVENT, true, 0, NULL},
	[PCAPI_PROP_EVENT_SOURCE_URL] = EVENT("event_source_url", PCAPI_TYPE_URL, true, 0),
	[PCAPI_PROP_OPT_OUT] = EVENT("opt_out", PCAPI_TYPE_BOOLEAN, true, 0),
	[PCAPI_PROP_TRACKING_ENABLED] = EVENT("advertiser_tracking_enabled", PCAPI_TYPE_BOOLEAN, true, 0),
	[PCAPI_PROP_PARTNER_NAME] = EVENT("partner_name", PCAPI_TYPE_TOKEN, false, ID_MAX),
	[PCAPI_PROP_LANGUAGE] = EVENT("language", PCAPI_TYPE_TOKEN, true, ID_MAX),
	[PCAPI_PROP_APP_ID] = EVENT("app_id", PCAPI_TYPE_TOKEN, false, ID_MAX),
	[PCAPI_PROP_APP_NAME] = EVENT("app_name", PCAPI_TYPE_TEXT, false, TEXT_MAX),
	[PCAPI_PROP_APP_VERSION] = EVENT("app_version", PCAPI_TYPE_TOKEN, false, ID_MAX),
	[PCAPI_PROP_DEVICE_BRAND] = EVENT("device_brand", PCAPI_TYPE_TEXT, false, TEXT_MAX),
	[PCAPI_PROP_DEVICE_CARRIER] = EVENT("device_carrier", PCAPI_TYPE_TEXT, false, TEXT_MAX),
	[PCAPI_PROP_DEVICE_MODEL] = EVENT("device_model", PCAPI_TYPE_TEXT, false, TEXT_MAX),
	[PCAPI_PROP_DEVICE_TYPE] = EVENT("device_type", PCAPI_TYPE_TEXT, false, TEXT_MAX),
	[PCAPI_PROP_OS_VERSION] = EVENT("os_version", PCAPI_TYPE_TOKEN, false, ID_MAX),
	[PCAPI_PROP_WIFI] = EVENT("wifi", PCAPI_TYPE_BOOLEAN, false, 0),

	[PCAPI_PROP_CURRENCY] = CUSTOM("currency", PCAPI_TYPE_TOKEN, true, 0),
	[PCAPI_PROP_VALUE] = CUSTOM("value", PCAPI_TYPE_DECIMAL, true, 0),
	[PCAPI_PROP_ORDER_ID] = CUSTOM("order_id", PCAPI_TYPE_TOKEN, true, ID_MAX),
	[PCAPI_PROP_NUM_ITEMS] = CUSTOM("num_items", PCAPI_TYPE_INTEGER, true, COUNT_MAX),
	[PCAPI_PROP_CONTENT_IDS] = CUSTOM("content_ids", PCAPI_TYPE_TOKENS, true, ID_MAX),
	[PCAPI_PROP_CONTENTS] = CUSTOM("contents", PCAPI_TYPE_CONTENTS, true, 0),
	[PCAPI_PROP_PREDICTED_LTV] = CUSTOM("predicted_ltv", PCAPI_TYPE_DECIMAL, false, 0),
	[PCAPI_PROP_SEARCH_STRING] = CUSTOM("search_string", PCAPI_TYPE_TEXT, false, TEXT_MAX),
	[PCAPI_PROP_CONTENT_NAME] = CUSTOM("content_name", PCAPI_TYPE_TEXT, false, TEXT_MAX),
	[PCAPI_PROP_CONTENT_CATEGORY] = CUSTOM("content_category", PCAPI_TYPE_TEXT, false, TEXT_MAX),
	[PCAPI_PROP_CONTENT_BRAND] = CUSTOM("content_brand", PCAPI_TYPE_TEXT, false, TEXT_MAX),
	[PCAPI_PROP_OPT_OUT_TYPE] = CUSTOM("opt_out_type", PCAPI_TYPE_TOKEN, true, ID_MAX),
	[PCAPI_PROP_NP] = CUSTOM("np", PCAPI_TYPE_TOKEN, false, ID_MAX),
	[PCAPI_PROP_MEASUREMENT_ID] = CUSTOM("external_measurement_id", PCAPI_TYPE_TOKEN, false, ID_MAX),
	[PCAPI_PROP_MEASUREMENT_VENDOR_ID] = CUSTOM("external_measurement_vendor_id", PCAPI_TYPE_INTEGER, false, COUNT_MAX),

	[PCAPI_PROP_APP_INFO] = EVENT("app_info", PCAPI_TYPE_APP_INFO, false, 0),
	[PCAPI_PROP_DEVICE_INFO] = EVENT("device_info", PCAPI_TYPE_DEVICE_INFO, false, 0),

	[PCAPI_PROP_PRODUCT_ID] = {"product_id", NULL, PCAPI_TYPE_TOKEN, PCAPI_NOT_SENT, true, ID_MAX, NULL},
	[PCAPI_PROP_PRODUCT_IDS] = {"product_ids", NULL, PCAPI_TYPE_TOKENS, PCAPI_NOT_SENT, true, ID_MAX, NULL},
	[PCAPI_PROP_QUANTITY] = {"quantity", NULL, PCAPI_TYPE_INTEGER, PCAPI_NOT_SENT, true, COUNT_MAX, NULL},
	[PCAPI_PROP_REFERRER] = {"referrer", NULL, PCAPI_TYPE_URL, PCAPI_NOT_SENT, true, 0, NULL},

	/* without a constant of their own: found by pcapi_property_in */
	{"contents.id", "id", PCAPI_TYPE_TOKEN, PCAPI_IN_CONTENTS, true, ID_MAX, NULL},
	{"contents.item_price", "item_price", PCAPI_TYPE_DECIMAL, PCAPI_IN_CONTENTS, true, 0, NULL},
	{"contents.quantity", "quantity", PCAPI_TYPE_INTEGER, PCAPI_IN_CONTENTS, true, COUNT_MAX, NULL},
	{"item_name", "item_name", PCAPI_TYPE_TEXT, PCAPI_IN_CONTENTS, false, TEXT_MAX, NULL},
	{"item_category", "item_category", PCAPI_TYPE_TEXT, PCAPI_IN_CONTENTS, false, TEXT_MAX, NULL},
	{"item_brand", "item_brand", PCAPI_TYPE_TEXT, PCAPI_IN_CONTENTS, false, TEXT_MAX, NULL},
	{"item_brand_id", "item_brand_id", PCAPI_TYPE_TOKEN, PCAPI_IN_CONTENTS, false, 64, NULL},

	APP("app_id", PCAPI_TYPE_TOKEN, 200),
	APP("app_name", PCAPI_TYPE_TEXT, 200),
	APP("app_package_name", PCAPI_TYPE_TOKEN, 200),
	APP("app_store", PCAPI_TYPE_TEXT, 100),
	APP("app_version", PCAPI_TYPE_TOKEN, 100),
	APP("install_time", PCAPI_TYPE_INTEGER, INT64CONST(99999999999)),
	APP("user_agent", PCAPI_TYPE_TOKEN, 16384),
	APP("window_height", PCAPI_TYPE_INTEGER, 30720),
	APP("window_width", PCAPI_TYPE_INTEGER, 30720),

	DEVICE("battery_level", PCAPI_TYPE_INTEGER, 100, NULL),
	DEVICE("brand", PCAPI_TYPE_TEXT, 100, NULL),
	DEVICE("carrier", PCAPI_TYPE_TEXT, 100, NULL),
	DEVICE("cpu_cores", PCAPI_TYPE_INTEGER, 1152, NULL),
	DEVICE("external_storage_free_space", PCAPI_TYPE_INTEGER, 1048576, NULL),
	DEVICE("external_storage_size", PCAPI_TYPE_INTEGER, 1048576, NULL),
	DEVICE("form_factor", PCAPI_TYPE_TOKEN, 100, form_factors),
	DEVICE("kernel_version", PCAPI_TYPE_TOKEN, 100, NULL),
	DEVICE("languages", PCAPI_TYPE_TOKENS, 35, NULL),
	DEVICE("locale", PCAPI_TYPE_TOKEN, 35, NULL),
	DEVICE("model", PCAPI_TYPE_TEXT, 100, NULL),
	DEVICE("network_type", PCAPI_TYPE_TOKEN, 100, network_types),
	DEVICE("os_family", PCAPI_TYPE_TOKEN, 100, os_families),
	DEVICE("os_name", PCAPI_TYPE_TOKEN, 100, NULL),
	DEVICE("os_release_name", PCAPI_TYPE_TOKEN, 100, NULL),
	DEVICE("os_version", PCAPI_TYPE_TOKEN, 100, NULL),
	DEVICE("screen_density", PCAPI_TYPE_INTEGER, 100000, NULL),
	DEVICE("screen_height", PCAPI_TYPE_INTEGER, 30720, NULL),
	DEVICE("screen_width", PCAPI_TYPE_INTEGER, 30720, NULL),
	DEVICE("storage_free_space", PCAPI_TYPE_INTEGER, 1048576, NULL),
	DEVICE("storage_size", PCAPI_TYPE_INTEGER, 1048576, NULL),
	DEVICE("timezone", PCAPI_TYPE_TOKEN, 40, NULL),
	DEVICE("timezone_abbr", PCAPI_TYPE_TOKEN, 5, NULL),
	DEVICE("type", PCAPI_TYPE_TEXT, 100, NULL),
};

StaticAssertDecl(lengthof(properties) <= 128, "PcapiAllowed.listed has 128 bits");

/* numbers of all properties by scope and key, for bsearch; made at first use */
static uint8 by_key[lengthof(properties)];
static bool by_key_ready = false;

/* Return the set of keys that a place belongs to: event, custom_data and unsent ones share "properties". */
static inline PcapiJsonObject
scope_of(PcapiJsonObject place)
{
	return place == PCAPI_IN_CUSTOM_DATA || place == PCAPI_NOT_SENT ? PCAPI_IN_EVENT : place;
}

/* Return what a caller writes for a property within its scope. */
static inline const char *
key_of(const PcapiProperty *p)
{
	return scope_of(p->place) == PCAPI_IN_EVENT ? p->name : p->field;
}

/* Order properties by scope and key, for qsort. */
static int
compare_keys(const void *a, const void *b)
{
	const PcapiProperty *pa = &properties[*(const uint8 *) a];
	const PcapiProperty *pb = &properties[*(const uint8 *) b];
	int			diff = (int) scope_of(pa->place) - (int) scope_of(pb->place);

	return diff != 0 ? diff : strcmp(key_of(pa), key_of(pb));
}

int
pcapi_property_in(PcapiJsonObject place, const char *key, size_t len)
{
	PcapiJsonObject scope = scope_of(place);
	int			low = 0;
	int			high = lengthof(properties) - 1;

	if (unlikely(!by_key_ready))
	{
		for (int i = 0; i < lengthof(properties); i++)
			by_key[i] = (uint8) i;
		qsort(by_key, lengthof(properties), sizeof(by_key[0]), compare_keys);
		by_key_ready = true;
	}
	while (low <= high)
	{
		int			middle = (low + high) / 2;
		const PcapiProperty *p = &properties[by_key[middle]];
		const char *name = key_of(p);
		int			diff = (int) scope - (int) scope_of(p->place);

		if (diff == 0)
			diff = strncmp(key, name, len);
		if (diff == 0 && name[len] != '\0')
			diff = -1;			/* key is the beginning of name */
		if (diff == 0)
			return by_key[middle];
		if (diff < 0)
			high = middle - 1;
		else
			low = middle + 1;
	}
	return -1;
}

const PcapiProperty *
pcapi_property(int property)
{
	Assert(property >= 0 && property < lengthof(properties));
	return &properties[property];
}

/* Called when settings are stored or read, not per event: no need for a search tree. */
int
pcapi_property_from_name(const char *name, size_t len)
{
	for (int i = 0; i < lengthof(properties); i++)
	{
		if (strncmp(name, properties[i].name, len) == 0 && properties[i].name[len] == '\0')
			return i;
	}
	return -1;
}

int
pcapi_property_count(void)
{
	return lengthof(properties);
}

const char *
pcapi_property_name(int property)
{
	return pcapi_property(property)->name;
}

bool
pcapi_property_structured(int property)
{
	return pcapi_property(property)->structured;
}

static inline bool
bit_set(const PcapiAllowed *allowed, int property)
{
	return (allowed->listed[property / 64] & (UINT64CONST(1) << (property % 64))) != 0;
}

bool
pcapi_property_listed(const PcapiAllowed *allowed, int property)
{
	const PcapiProperty *p = pcapi_property(property);

	if (allowed->all_listed || p->structured || bit_set(allowed, property))
		return true;
	if (p->place == PCAPI_IN_APP_INFO)
		return bit_set(allowed, PCAPI_PROP_APP_INFO);
	if (p->place == PCAPI_IN_DEVICE_INFO)
		return bit_set(allowed, PCAPI_PROP_DEVICE_INFO);
	return false;
}
