/*
 * url.c
 *	  Read click ids from URLs and cookies, and reduce URLs to the parts that may
 *	  be sent.
 *
 * libcurl's parser splits every URL, so the URL that is checked here is the one
 * that a request uses.  Nothing here opens a connection.
 */
#include "core/url.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/pii.h"
#include "core/text.h"

/* the parameter that Pinterest adds to a landing page's URL, and the cookie its tag keeps it in */
#define CLICK_PARAMETER "epik"
#define CLICK_COOKIE "_epik"

static const char not_a_url[] = "not a complete http or https URL";
static const char private_path[] = "its path looks like personal data, left out";

/*
 * Percent-decode a click id.  Return NULL if the result is blank or can't be a
 * click id: control characters, invalid UTF-8.
 */
static char *
decode_click(const char *s, size_t len)
{
	int			n;
	char	   *raw;
	char	   *click = NULL;

	if (len == 0 || len > INT32_MAX)
		return NULL;
	raw = curl_easy_unescape(NULL, s, (int) len, &n);
	if (raw == NULL)
		return NULL;

	if (pcapi_utf8_valid(raw, (size_t) n))
	{
		const char *next = raw;
		const char *end = raw + n;
		bool		usable = true;
		bool		blank = true;

		while (next < end && usable)
		{
			int32_t		c = pcapi_next_char(&next, end);

			usable = c >= 0x20 && !(c >= 0x7F && c <= 0x9F);
			blank = blank && pcapi_is_blank(c);
		}
		if (usable && !blank)
			click = pcapi_strndup(raw, (size_t) n);
	}
	curl_free(raw);
	return click;
}

/* Is the key the click id's?  It may be percent-encoded: "%65pik" is "epik" to every web server. */
static bool
is_click_parameter(const char *key, size_t len)
{
	const size_t name_len = strlen(CLICK_PARAMETER);
	char	   *raw;
	int			n;
	bool		found;

	if (memchr(key, '%', len) == NULL || len > 3 * name_len)
		return len == name_len && memcmp(key, CLICK_PARAMETER, len) == 0;

	raw = curl_easy_unescape(NULL, key, (int) len, &n);
	found = raw != NULL && (size_t) n == name_len &&
		memcmp(raw, CLICK_PARAMETER, name_len) == 0;
	curl_free(raw);
	return found;
}

/* Return the first usable click id in a query string, or NULL; "&amp;" separates like "&". */
static char *
click_from_query(const char *query)
{
	while (*query != '\0')
	{
		size_t		len = strcspn(query, "&");
		const char *equals = memchr(query, '=', len);

		if (equals != NULL && is_click_parameter(query, (size_t) (equals - query)))
		{
			char	   *click = decode_click(equals + 1, len - (size_t) (equals + 1 - query));

			if (click != NULL)
				return click;
		}
		query += len;
		if (*query == '&')
			query++;
		if (strncasecmp(query, "amp;", 4) == 0)
			query += 4;
	}
	return NULL;
}

/*
 * Return a trimmed, NUL-terminated, malloc'd copy, or NULL if the text is empty
 * or can't be a URL.  Control characters are refused here because some versions
 * of libcurl refuse them and others encode them.
 */
static char *
url_text(const char *url, size_t len)
{
	if (!pcapi_utf8_valid(url, len))
		return NULL;
	pcapi_trim(&url, &len);
	for (size_t i = 0; i < len; i++)
	{
		if ((unsigned char) url[i] < 0x20 || url[i] == 0x7F)
			return NULL;
	}
	return len == 0 ? NULL : pcapi_strndup(url, len);
}

/* Return the click id in a URL, or NULL. */
char *
pcapi_epik_from_url(const char *url, size_t len)
{
	char	   *copy = url_text(url, len);
	CURLU	   *parts = curl_url();
	char	   *query = NULL;
	char	   *click = NULL;

	/*
	 * With a base to resolve against, "/landing?epik=..." and
	 * "shop.example/?epik=..." are read as well: sites log either.
	 */
	if (copy != NULL && parts != NULL &&
		curl_url_set(parts, CURLUPART_URL, "https://base.invalid/", 0) == CURLUE_OK &&
		curl_url_set(parts, CURLUPART_URL, copy,
					 CURLU_NON_SUPPORT_SCHEME | CURLU_ALLOW_SPACE) == CURLUE_OK &&
		curl_url_get(parts, CURLUPART_QUERY, &query, 0) == CURLUE_OK)
		click = click_from_query(query);

	curl_free(query);
	curl_url_cleanup(parts);
	free(copy);
	return click;
}

/* Return the click id in a cookie's value, which may stand in double quotes (RFC 6265, 4.1.1), or NULL. */
static char *
click_from_cookie_value(const char *value, size_t len)
{
	pcapi_trim(&value, &len);
	if (len >= 2 && value[0] == '"' && value[len - 1] == '"')
	{
		value++;
		len -= 2;
	}
	return decode_click(value, len);
}

/* Return the click id in a cookie's value or a whole Cookie header, or NULL. */
char *
pcapi_epik_from_cookie(const char *cookie, size_t len)
{
	static const char header[] = "Cookie:";
	const size_t name_len = strlen(CLICK_COOKIE);
	bool		is_header;
	const char *end;
	const char *s;

	if (!pcapi_utf8_valid(cookie, len))
		return NULL;
	pcapi_trim(&cookie, &len);

	is_header = len >= sizeof(header) - 1 &&
		strncasecmp(cookie, header, sizeof(header) - 1) == 0;
	if (is_header)
	{
		cookie += sizeof(header) - 1;
		len -= sizeof(header) - 1;
	}
	end = cookie + len;

	for (s = cookie; s < end;)
	{
		const char *stop = memchr(s, ';', (size_t) (end - s));
		const char *equals;
		const char *name = s;

		if (stop == NULL)
			stop = end;
		else
			is_header = true;
		equals = memchr(s, '=', (size_t) (stop - s));
		if (equals != NULL)
		{
			size_t		n = (size_t) (equals - s);

			pcapi_trim(&name, &n);
			if (n == name_len && memcmp(name, CLICK_COOKIE, n) == 0)
			{
				char	   *click = click_from_cookie_value(equals + 1,
															(size_t) (stop - equals - 1));

				if (click != NULL)
					return click;
				is_header = true;
			}
			/* "=" at the very end pads base64, elsewhere it makes a pair */
			for (; equals < stop; equals++)
				is_header = is_header || *equals != '=';
		}
		s = stop < end ? stop + 1 : end;
	}
	return is_header ? NULL : click_from_cookie_value(cookie, len);
}

/* Is it a scheme of web pages? */
static bool
is_http(const char *scheme)
{
	return strcmp(scheme, "https") == 0 || strcmp(scheme, "http") == 0;
}

/* Does a segment of the path look like personal data?  "/" is no part of an address and does not end one. */
static bool
is_private_path(CURLU *parts)
{
	char	   *path = NULL;
	bool		found = false;

	if (curl_url_get(parts, CURLUPART_PATH, &path, 0) != CURLUE_OK)
		return false;
	for (const char *s = path; *s != '\0' && !found;)
	{
		size_t		len = strcspn(s, "/");

		found = pcapi_pii_find_in_id(s, len) != NULL;
		s += len + (s[len] == '/');
	}
	curl_free(path);
	return found;
}

/* Return the parts of a URL that may be sent. */
char *
pcapi_scrub_url(const char *url, size_t len, PcapiUrlDetail detail, const char **warning)
{
	char	   *copy;
	CURLU	   *parts;
	char	   *scheme = NULL;
	char	   *whole = NULL;
	char	   *result = NULL;

	*warning = NULL;
	if (detail == PCAPI_URL_NONE)
		return NULL;

	copy = url_text(url, len);
	parts = curl_url();

	/* URLENCODE: blanks and non-ASCII are sent as a browser sends them */
	if (copy != NULL && parts != NULL &&
		curl_url_set(parts, CURLUPART_URL, copy,
					 CURLU_NON_SUPPORT_SCHEME | CURLU_ALLOW_SPACE | CURLU_URLENCODE) == CURLUE_OK &&
		curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		is_http(scheme) &&
		curl_url_set(parts, CURLUPART_USER, NULL, 0) == CURLUE_OK &&
		curl_url_set(parts, CURLUPART_PASSWORD, NULL, 0) == CURLUE_OK &&
		curl_url_set(parts, CURLUPART_OPTIONS, NULL, 0) == CURLUE_OK &&
		curl_url_set(parts, CURLUPART_QUERY, NULL, 0) == CURLUE_OK &&
		curl_url_set(parts, CURLUPART_FRAGMENT, NULL, 0) == CURLUE_OK)
	{
		if (detail == PCAPI_URL_PATH && is_private_path(parts))
		{
			*warning = private_path;
			detail = PCAPI_URL_DOMAIN;
		}
		if ((detail == PCAPI_URL_PATH ||
			 curl_url_set(parts, CURLUPART_PATH, NULL, 0) == CURLUE_OK) &&
			curl_url_get(parts, CURLUPART_URL, &whole, 0) == CURLUE_OK &&
			/* the parser percent-decodes host names, which can give any bytes but those below a blank */
			pcapi_utf8_valid(whole, strlen(whole)) && strchr(whole, '\x7F') == NULL)
			result = pcapi_strndup(whole, strlen(whole));
	}

	if (result == NULL)
		*warning = not_a_url;
	curl_free(whole);
	curl_free(scheme);
	curl_url_cleanup(parts);
	free(copy);
	return result;
}

/* Is the host localhost, of 127.0.0.0/8, or [::1]? */
static bool
is_loopback(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;
	size_t		len = strlen(host);
	char		address[INET6_ADDRSTRLEN];

	if (strcasecmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return (ntohl(v4.s_addr) >> 24) == 127;
	if (len < 3 || host[0] != '[' || host[len - 1] != ']' || len - 2 >= sizeof(address))
		return false;
	memcpy(address, host + 1, len - 2);
	address[len - 2] = '\0';
	return inet_pton(AF_INET6, address, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/*
 * Is it an http or https URL without anything that a lenient parser might remove
 * or repair: user info, query, fragment, backslashes, blanks, control characters?
 */
static bool
is_plain_url(const char *url)
{
	const char *end = url + strlen(url);
	const char *authority;

	if (strncasecmp(url, "https://", 8) == 0)
		authority = url + 8;
	else if (strncasecmp(url, "http://", 7) == 0)
		authority = url + 7;
	else
		return false;

	if (memchr(authority, '@', strcspn(authority, "/")) != NULL ||
		strcspn(url, "?#\\") != strlen(url) || *authority == '/' ||
		!pcapi_utf8_valid(url, (size_t) (end - url)))
		return false;
	while (url < end)
	{
		int32_t		c = pcapi_next_char(&url, end);

		if (c < 0x20 || (c >= 0x7F && c <= 0x9F) || pcapi_is_blank(c))
			return false;
	}
	return true;
}

/* May requests with the access token go to this URL? */
bool
pcapi_api_url_ok(const char *url)
{
	CURLU	   *parts;
	char	   *scheme = NULL;
	char	   *host = NULL;
	char	   *zone = NULL;
	bool		ok = false;

	if (!is_plain_url(url))
		return false;

	parts = curl_url();
	if (parts != NULL &&
		curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
		curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK)
		ok = strcmp(scheme, "https") == 0 ||
			(strcmp(scheme, "http") == 0 && is_loopback(host) &&
			 curl_url_get(parts, CURLUPART_ZONEID, &zone, 0) != CURLUE_OK);

	curl_free(zone);
	curl_free(host);
	curl_free(scheme);
	curl_url_cleanup(parts);
	return ok;
}
