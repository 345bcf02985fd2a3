/*
 * standard_event.c
 *	  The names of the API's standard events.
 *
 * The view standard_event describes them for people.  Which event is sent as
 * which is in settings_read.c.
 */
#include "pinterest_capi.h"

#include <ctype.h>

#include "track/standard_event.h"
#include "utils/varlena.h"

/* of a name that is compared by edit distance; the longest standard one has 17 */
#define MAX_EVENT_LETTERS	32

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

/* Called when settings are stored or read, not per event: no need for a hash. */
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

/*
 * Names of the same events at shops and other platforms, letters alone.  The first
 * one that a name contains counts.  From the event lists of Meta's
 * pixel, Google Analytics 4, Segment and TikTok as of November 2026.
 */
static const struct
{
	const char *word;
	const char *pascal;
}			other_words[] =
{
	{"paymentinfo", "AddPaymentInfo"},
	{"wishlist", "AddToWishlist"},
	{"favorite", "AddToWishlist"},
	{"checkoutstart", "InitiateCheckout"},
	{"startcheckout", "InitiateCheckout"},
	{"begincheckout", "InitiateCheckout"},
	{"begancheckout", "InitiateCheckout"},
	{"initiate", "InitiateCheckout"},
	{"purchase", "Checkout"},
	{"order", "Checkout"},
	{"payment", "Checkout"},
	{"sale", "Checkout"},
	{"transaction", "Checkout"},
	{"booking", "Checkout"},
	{"cart", "AddToCart"},
	{"basket", "AddToCart"},
	{"productadded", "AddToCart"},
	{"trial", "StartTrial"},
	{"subscri", "Subscribe"},
	{"signup", "SignUp"},
	{"signedup", "SignUp"},
	{"regist", "SignUp"},
	{"accountcreated", "SignUp"},
	{"createaccount", "SignUp"},
	{"lead", "Lead"},
	{"appl", "SubmitApplication"},
	{"appointment", "Schedule"},
	{"search", "Search"},
	{"install", "AppInstall"},
	{"appopen", "AppOpen"},
	{"firstopen", "AppOpen"},
	{"list", "ViewCategory"},
	{"category", "ViewCategory"},
	{"collection", "ViewCategory"},
	{"video", "WatchVideo"},
	{"location", "FindLocation"},
	{"store", "FindLocation"},
	{"customiz", "CustomizeProduct"},
	{"contact", "Contact"},
	{"page", "PageVisit"},
	{"visit", "PageVisit"},
	{"product", "ViewContent"},
	{"item", "ViewContent"},
	{"view", "ViewContent"},
};

/* Return the ASCII letters of a name, in lower case. */
static char *
letters_of(const char *name)
{
	char	   *letters = palloc(strlen(name) + 1);
	int			n = 0;

	for (const char *c = name; *c; c++)
		if (isascii((unsigned char) *c) && isalpha((unsigned char) *c))
			letters[n++] = pg_ascii_tolower((unsigned char) *c);
	letters[n] = '\0';
	return letters;
}

const char *
pcapi_nearest_standard_event(const char *name)
{
	char	   *letters = letters_of(name);
	const char *nearest = NULL;
	int			n = strlen(letters);
	int			least;

	for (int i = 0; i < lengthof(other_words); i++)
		if (strstr(letters, other_words[i].word) != NULL)
			return other_words[i].pascal;

	/* a typing error: at most a third of the letters differ */
	if (n > MAX_EVENT_LETTERS)
		return NULL;
	least = n / 3 + 1;
	for (int i = 0; i < lengthof(standard_events); i++)
	{
		char	   *standard = letters_of(standard_events[i].pascal);
		int			distance = varstr_levenshtein_less_equal(letters, n, standard, strlen(standard),
															 1, 1, 1, least, true);

		if (distance < least)
		{
			least = distance;
			nearest = standard_events[i].pascal;
		}
	}
	return nearest;
}
