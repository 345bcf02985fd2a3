/*
 * fuzz_url.c
 *	  Read any bytes as a URL, a cookie and the API's address.
 */
#include "check.h"
#include "core/text.h"
#include "core/url.h"

/* Check and free a click id. */
static void
check_click(char *click)
{
	if (click == NULL)
		return;
	CHECK(click[0] != '\0' && pcapi_utf8_valid(click, strlen(click)));
	for (const char *c = click; *c != '\0'; c++)
		CHECK((unsigned char) *c >= 0x20 && *c != 0x7F);
	free(click);
}

/* Reduce a URL and check the parts that remain. */
static void
check_scrubbed(const char *raw, size_t size, PcapiUrlDetail detail)
{
	const char *warning = "";
	char	   *url = pcapi_scrub_url(raw, size, detail, &warning);
	const char *authority;

	if (detail == PCAPI_URL_NONE)
	{
		CHECK(url == NULL && warning == NULL);
		return;
	}
	CHECK(url != NULL || warning != NULL);
	if (url == NULL)
		return;

	CHECK(strncmp(url, "https://", 8) == 0 || strncmp(url, "http://", 7) == 0);
	authority = strstr(url, "://") + 3;
	CHECK(strpbrk(url, "?# \r\n\t") == NULL);
	CHECK(memchr(authority, '@', strcspn(authority, "/")) == NULL);
	CHECK(pcapi_utf8_valid(url, strlen(url)));
	/* the only warning for a URL that remains is about its path, which then is removed */
	if (detail == PCAPI_URL_DOMAIN || warning != NULL)
		CHECK(strchr(authority, '/') == url + strlen(url) - 1);
	if (detail == PCAPI_URL_DOMAIN)
		CHECK(warning == NULL);
	else
	{
		char	   *again = pcapi_scrub_url(url, strlen(url), detail, &warning);

		/*
		 * Nothing more is removed.  The host may change: libcurl writes a
		 * number as an IP address, but not if it was percent-encoded.
		 */
		CHECK(again != NULL && warning == NULL);
		CHECK(strcmp(strchr(strstr(again, "://") + 3, '/'), strchr(authority, '/')) == 0);
		free(again);
	}
	free(url);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *raw = (const char *) data;
	char	   *text = malloc(size + 1);

	check_click(pcapi_epik_from_url(raw, size));
	check_click(pcapi_epik_from_cookie(raw, size));
	check_scrubbed(raw, size, PCAPI_URL_PATH);
	check_scrubbed(raw, size, PCAPI_URL_DOMAIN);
	check_scrubbed(raw, size, PCAPI_URL_NONE);

	memcpy(text, raw, size);
	text[size] = '\0';
	if (pcapi_api_url_ok(text))
		CHECK(strpbrk(text, "?# \r\n\t") == NULL);
	free(text);
	return 0;
}
