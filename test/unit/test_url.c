/*
 * test_url.c
 *	  Read click ids from URLs and cookies, reduce URLs, and check the API's address.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/url.h"
#include "tap.h"

static const char *const from_url[][2] = {
	{"https://shop.example/?epik=abc", "abc"},
	{"https://shop.example/p?utm_source=pinterest&epik=dj0yJnU9_-abc&x=1", "dj0yJnU9_-abc"},
	{"https://shop.example/?a=1&amp;epik=abc&amp;b=2", "abc"},
	{"https://shop.example/?a=1&AMP;epik=abc", "abc"},
	{"https://shop.example/?epik=&epik=second&epik=third", "second"},
	{"https://shop.example/?epik&epik=second", "second"},
	{"https://shop.example/?epik=%20&epik=second", "second"},
	{"https://shop.example/?epik=abc#top", "abc"},
	{"https://shop.example/#?epik=abc", NULL},
	{"https://shop.example/?a=1#epik=abc", NULL},
	{"https://shop.example/?epik=a?b", "a?b"},
	{"https://shop.example?epik=abc", "abc"},
	{"HTTPS://SHOP.EXAMPLE/P?epik=AbC", "AbC"},
	{"https://müller.example/straße?q=ü&epik=abc", "abc"},
	{"https://xn--mller-kva.example/?epik=abc", "abc"},
	{"https://user:pw@shop.example:8443/?epik=abc", "abc"},
	{"http://[::1]:8080/?epik=abc", "abc"},
	{"shopapp://open/product?epik=abc", "abc"},
	{"shop.example/p?epik=abc", "abc"},
	{"//shop.example/p?epik=abc", "abc"},
	{"/p?epik=abc", "abc"},
	{"?epik=abc", "abc"},
	{"  https://shop.example/?epik=abc\n", "abc"},
	{"https://shop.example/a b?q=c d&epik=abc", "abc"},
	{"https://shop.example/?epik=a+b", "a+b"},
	{"https://shop.example/?epik=a%2Bb", "a+b"},
	{"https://shop.example/?epik=a%2bb%3D%3d", "a+b=="},
	{"https://shop.example/?epik=a=b=", "a=b="},
	{"https://shop.example/?epik=100%", "100%"},
	{"https://shop.example/?epik=a%zz", "a%zz"},
	{"https://shop.example/?%65pik=abc", "abc"},
	{"https://shop.example/?epik=%C3%A9", "é"},
	{"https://shop.example/?epik=%C3", NULL},
	{"https://shop.example/?epik=%FF&epik=abc", "abc"},
	{"https://shop.example/?epik=a%00b", NULL},
	{"https://shop.example/?epik=a%0Ab", NULL},
	{"https://shop.example/?epik=a%7F", NULL},
	{"https://shop.example/?epik=a%C2%85", NULL},
	{"https://shop.example/?EPIK=abc", NULL},
	{"https://shop.example/?xepik=abc", NULL},
	{"https://shop.example/?epikx=abc", NULL},
	{"https://shop.example/?a=epik=abc", NULL},
	{"https://shop.example/?a=1%26epik=abc", NULL},
	{"https://shop.example/epik=abc", NULL},
	{"https://shop.example/", NULL},
	{"https://shop.example/?", NULL},
	{"https://shop.example/?&&=&", NULL},
	{"\xFF?epik=abc", NULL},
	{"", NULL},
	{" ", NULL}
};

static const char *const from_cookie[][2] = {
	{"abc", "abc"},
	{" abc ", "abc"},
	{"dj0yJnU9-_abc", "dj0yJnU9-_abc"},
	{"abc==", "abc=="},
	{"a+b%2B", "a+b+"},
	{"\"abc\"", "abc"},
	{"_epik=abc", "abc"},
	{"_epik=abc==", "abc=="},
	{"_epik=\"abc\"", "abc"},
	{"a=1; _epik=abc; b=2", "abc"},
	{"a=1;_epik=abc;b=2", "abc"},
	{"Cookie: a=1; _epik=abc", "abc"},
	{"cookie:_epik=abc", "abc"},
	{"_epik=; _epik=abc", "abc"},
	{"_epik=%0A; _epik=abc", "abc"},
	{"a=_epik=abc", NULL},
	{"a=1; x_epik=abc", NULL},
	{"a=1; _EPIK=abc", NULL},
	{"a=1", NULL},
	{"a=1; b=2", NULL},
	{"Cookie: abc", NULL},
	{"_epik=", NULL},
	{"_epik=%FF", NULL},
	{"a%0Db", NULL},
	{"a\nb", NULL},
	{"\xFF", NULL},
	{"", NULL},
	{" ", NULL},
	{";", NULL}
};

#define BAD "not a complete http or https URL"

static const struct
{
	const char *url;
	const char *path;			/* with PCAPI_URL_PATH */
	const char *domain;
}			scrubs[] = {
	{"https://shop.example/p/1?email=a@b.c#top", "https://shop.example/p/1", "https://shop.example/"},
	{"http://user:pw@shop.example:8080/p;v=1?q", "http://shop.example:8080/p;v=1", "http://shop.example:8080/"},
	{"https://user@shop.example/", "https://shop.example/", "https://shop.example/"},
	{"https://shop.example", "https://shop.example/", "https://shop.example/"},
	{"https://shop.example?q=1", "https://shop.example/", "https://shop.example/"},
	{"https://shop.example#a?b", "https://shop.example/", "https://shop.example/"},
	{"HTTPS://shop.example/P", "https://shop.example/P", "https://shop.example/"},
	{" https://shop.example/a b\n", "https://shop.example/a%20b", "https://shop.example/"},
	{"https://shop.example/a%3Fb%23c", "https://shop.example/a%3Fb%23c", "https://shop.example/"},
	{"http://[2001:db8::1]:81/p?q", "http://[2001:db8::1]:81/p", "http://[2001:db8::1]:81/"},
	{"shop.example/p?q=1", NULL, NULL},
	{"//shop.example/p", NULL, NULL},
	{"/p?q=1", NULL, NULL},
	{"ftp://shop.example/p", NULL, NULL},
	{"shopapp://open/p", NULL, NULL},
	{"javascript:alert(1)", NULL, NULL},
	{"mailto:jane@shop.example", NULL, NULL},
	{"https://", NULL, NULL},
	{"https://shop.example:99999/", NULL, NULL},
	{"https://shop example/", NULL, NULL},
	{"https://shop%20example/", NULL, NULL},
	{"https://sh%C3%B6p.example/p", "https://shöp.example/p", "https://shöp.example/"},
	{"https://shop%cb.example/p", NULL, NULL},	/* decodes to invalid UTF-8 */
	{"https://shop%7f.example/p", NULL, NULL},	/* decodes to control characters */
	{"https://shop%1f.example/p", NULL, NULL},
	{"https://shop%00.example/p", NULL, NULL},
	{"https://shop.example/\x01", NULL, NULL},
	{"https://shop.example/\xFF", NULL, NULL},
	{"not a url", NULL, NULL},
	{"", NULL, NULL}
};

static const struct
{
	const char *url;
	bool		ok;
}			api_urls[] = {
	{"https://api.pinterest.com/v5", true},
	{"HTTPS://API.PINTEREST.COM/v5", true},
	{"https://proxy.example:8443", true},
	{"http://localhost:3000/v5", true},
	{"http://LOCALHOST/", true},
	{"http://127.0.0.1:3000/v5", true},
	{"http://127.255.0.9", true},
	{"http://[::1]:3000/v5", true},
	{"http://[0:0:0:0:0:0:0:1]/", true},
	{"http://api.pinterest.com/v5", false},
	{"http://128.0.0.1/", false},
	{"http://10.0.0.1/", false},
	{"http://0.0.0.0/", false},
	{"http://[::2]/", false},
	{"http://[::1%25lo]/", false},
	{"http://localhost.example/", false},
	{"http://127.0.0.1.example/", false},
	{"http://localhost@evil.example/", false},
	{"http://127.0.0.1:80@evil.example/", false},
	{"https://user@api.pinterest.com/v5", false},
	{"https://user:pw@api.pinterest.com/v5", false},
	{"https://@api.pinterest.com/v5", false},
	{"https://api.pinterest.com/v5?a=b", false},
	{"https://api.pinterest.com/v5?", false},
	{"https://api.pinterest.com/v5#a", false},
	{"https://api.pinterest.com/v5#", false},
	{"https://api.pinterest.com/v 5", false},
	{" https://api.pinterest.com/v5", false},
	{"https://api.pinterest.com/v5\n", false},
	{"https://api.pinterest.com/v5\x7F", false},
	{"https://api.pinterest.com/v5\xC2\xA0", false},
	{"https://api.pinterest.com/v5\xFF", false},
	{"https://api.pinterest.com\\@evil.example/", false},
	{"https:///v5", false},
	{"https:api.pinterest.com", false},
	{"https://", false},
	{"https://api.pinterest.com:0x50/", false},
	{"ftp://localhost/", false},
	{"file:///etc/passwd", false},
	{"api.pinterest.com/v5", false},
	{"localhost", false},
	{"", false}
};

/* Long URLs and cookies. */
static void
test_long(void)
{
	size_t		size = 9000;
	char	   *url = malloc(size);
	char		expected[1001];
	char	   *got;
	size_t		len;

	len = (size_t) sprintf(url, "https://shop.example/?q=");
	memset(url + len, 'q', 7000);
	len += 7000;
	len += (size_t) sprintf(url + len, "&epik=");
	memset(url + len, 'e', 1000);
	len += 1000;
	memset(expected, 'e', 1000);
	expected[1000] = '\0';
	got = pcapi_epik_from_url(url, len);
	tap_is(got, expected, "click id of 1000 bytes at the end of a URL of 8 kB");
	free(got);
	free(url);

	got = pcapi_epik_from_url("https://shop.example/?epik=abcdef", 30);
	tap_is(got, "abc", "a URL ends where its length says");
	free(got);
	got = pcapi_epik_from_cookie("_epik=abcdef", 9);
	tap_is(got, "abc", "and so does a cookie");
	free(got);
	tap_ok(pcapi_epik_from_url("?epik=a\0b", 9) == NULL, "NUL in a URL");
	tap_ok(pcapi_epik_from_cookie("a\0b", 3) == NULL, "NUL in a cookie");
}

static const char *const private_paths[] = {
	"https://shop.example/user/jane@shop.example/orders",
	"https://shop.example/unsubscribe/jane%40shop.example",
	"https://shop.example/m%C3%BCller%40m%C3%BCller.example",
	"https://shop.example/call/+442079460958",
	"https://shop.example/call/%2B44%2020%207946%200958?x=1#y",
	"https://shop.example/file/123-45-6789/",
	"https://shop.example/pay/DE89370400440532013000"
};

/* Reduce every URL of the table, in each detail. */
static void
test_scrub(void)
{
	const char *warning;
	char	   *got;

	for (size_t i = 0; i < sizeof(scrubs) / sizeof(scrubs[0]); i++)
	{
		const char *url = scrubs[i].url;
		size_t		len = strlen(url);

		got = pcapi_scrub_url(url, len, PCAPI_URL_PATH, &warning);
		tap_is(got, scrubs[i].path, "path of %s", url);
		tap_is(warning, scrubs[i].path ? NULL : BAD, "warning for %s", url);
		free(got);
		got = pcapi_scrub_url(url, len, PCAPI_URL_DOMAIN, &warning);
		tap_is(got, scrubs[i].domain, "domain of %s", url);
		free(got);
		tap_ok(pcapi_scrub_url(url, len, PCAPI_URL_NONE, &warning) == NULL && warning == NULL,
			   "none of %s", url);
	}

	for (size_t i = 0; i < sizeof(private_paths) / sizeof(private_paths[0]); i++)
	{
		const char *url = private_paths[i];

		got = pcapi_scrub_url(url, strlen(url), PCAPI_URL_PATH, &warning);
		tap_is(got, "https://shop.example/", "only the domain of %s", url);
		tap_is(warning, "its path looks like personal data, left out", "and a warning");
		free(got);
	}

	/* the case of the digits differs between versions of libcurl */
	got = pcapi_scrub_url("https://shop.example/straße", 28, PCAPI_URL_PATH, &warning);
	tap_ok(got != NULL && strcasecmp(got, "https://shop.example/stra%C3%9Fe") == 0,
		   "a path that is not ASCII is percent-encoded");
	free(got);
}

int
main(void)
{
	char	   *got;

	for (size_t i = 0; i < sizeof(from_url) / sizeof(from_url[0]); i++)
	{
		got = pcapi_epik_from_url(from_url[i][0], strlen(from_url[i][0]));
		tap_is(got, from_url[i][1], "URL %s", from_url[i][0]);
		free(got);
	}
	for (size_t i = 0; i < sizeof(from_cookie) / sizeof(from_cookie[0]); i++)
	{
		got = pcapi_epik_from_cookie(from_cookie[i][0], strlen(from_cookie[i][0]));
		tap_is(got, from_cookie[i][1], "cookie %s", from_cookie[i][0]);
		free(got);
	}
	test_long();
	test_scrub();
	for (size_t i = 0; i < sizeof(api_urls) / sizeof(api_urls[0]); i++)
		tap_ok(pcapi_api_url_ok(api_urls[i].url) == api_urls[i].ok, "%s as the API's address: %s",
			   api_urls[i].ok ? "taken" : "refused", api_urls[i].url);
	return tap_done();
}
