/*
 * standard.c
 *	  The names of the API's standard events.
 *
 * What belongs to each of them stands in the table standard_event, which is
 * for people; which event is sent as which, in settings.c.
 */
#include "session/session.h"

static const struct
{
	const char *name;			/* the API's */
	const char *pascal;			/* the browser tag's */
}			standard_events[] =
{
	{"add_payment_info", "AddPaymentInfo"},
	{"add_to_cart", "AddToCart"},
	{"add_to_wishlist", "AddToWishlist"},
	{"app_install", "AppInstall"},
	{"app_open", "AppOpen"},
	{"checkout", "Checkout"},
	{"contact", "Contact"},
	{"custom", "Custom"},
	{"customize_product", "CustomizeProduct"},
	{"find_location", "FindLocation"},
	{"initiate_checkout", "InitiateCheckout"},
	{"lead", "Lead"},
	{"page_visit", "PageVisit"},
	{"schedule", "Schedule"},
	{"search", "Search"},
	{"signup", "SignUp"},
	{"start_trial", "StartTrial"},
	{"submit_application", "SubmitApplication"},
	{"subscribe", "Subscribe"},
	{"view_category", "ViewCategory"},
	{"view_content", "ViewContent"},
	{"watch_video", "WatchVideo"},
};

/* Asked when settings are stored or loaded, not per event: no need for a hash. */
const char *
pcapi_standard_event(const char *name)
{
	for (int i = 0; i < lengthof(standard_events); i++)
	{
		if (pg_strcasecmp(name, standard_events[i].name) == 0 ||
			pg_strcasecmp(name, standard_events[i].pascal) == 0)
			return standard_events[i].name;
	}
	return NULL;
}
