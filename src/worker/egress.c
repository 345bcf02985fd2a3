/*
 * egress.c
 *	  Read the settings proxy and ca_file for each request, check them and
 *	  give them to libcurl.
 *
 * A proxy's URL may hold a password, and libcurl quotes a URL that it can't read
 * in its errors, which monitoring shows.  So libcurl gets no URL that its own
 * parser refuses, and user info is removed from its messages.
 */
#include "postgres.h"

#include <curl/curl.h>

#include "pinterest_capi.h"

#include "common/guc.h"
#include "worker/egress.h"
#include "worker/settings_file.h"

#define MAX_PROXY_FILE	8192
#define MAX_CA_FILE		(4 * 1024 * 1024)	/* Debian's whole store has a quarter of a megabyte */

/* the schemes of CURLOPT_PROXY, as of libcurl 7.88 */
static const char *const proxy_schemes[] = {"http", "https", "socks4", "socks4a", "socks5", "socks5h"};

/* Is the URL's scheme one of them? */
static bool
known_scheme(CURLU *url)
{
	char	   *scheme = NULL;
	bool		known = false;

	if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK)
		return false;
	for (int i = 0; i < lengthof(proxy_schemes) && !known; i++)
		known = strcmp(scheme, proxy_schemes[i]) == 0;
	curl_free(scheme);
	return known;
}

/* Is a part of user info absent, or can it be decoded?  *there: it is not absent. */
static bool
decodes(CURLU *url, CURLUPart part, CURLUcode absent, bool *there)
{
	char	   *text = NULL;
	CURLUcode	code = curl_url_get(url, part, &text, CURLU_URLDECODE);

	*there = (code != absent);
	if (text)
	{
		explicit_bzero(text, strlen(text));
		curl_free(text);
	}
	return code == CURLUE_OK || code == absent;
}

/* Return what is wrong with a proxy's URL, or NULL.  It is not quoted. */
static const char *
proxy_fault(const char *proxy, bool *has_password)
{
	CURLU	   *url = curl_url();
	CURLUcode	code = url ? curl_url_set(url, CURLUPART_URL, proxy, CURLU_NON_SUPPORT_SCHEME) : CURLUE_OUT_OF_MEMORY;
	const char *fault = NULL;
	bool		has_user;

	*has_password = false;
	if (code != CURLUE_OK)
		fault = curl_url_strerror(code);
	else if (!known_scheme(url))
		fault = "its scheme is none of http, https, socks4, socks4a, socks5 and socks5h";
	else if (!decodes(url, CURLUPART_USER, CURLUE_NO_USER, &has_user) ||
			 !decodes(url, CURLUPART_PASSWORD, CURLUE_NO_PASSWORD, has_password))
		fault = "its user info cannot be decoded";
	curl_url_cleanup(url);
	return fault;
}

/* Warn once for each worker that the password stands where the server logs it. */
static void
warn_of_password(void)
{
	static bool warned = false;

	if (warned)
		return;
	warned = true;
	ereport(WARNING,
			(errmsg("the setting pinterest_capi.proxy holds a password"),
			 errdetail("In a session that has not loaded the library any role can show it, and the server writes it to its log when it changes."),
			 errhint("Write the URL to a file that the server's user alone can read, and set pinterest_capi.proxy to 'file:/absolute/path'.")));
}

/* Return the URL from the file that the setting names; NULL and *problem: it has none. */
static char *
read_proxy_file(const char *path, char **problem)
{
	size_t		len = 0;
	char	   *text;
	char	   *url = NULL;

	if (path[0] != '/')
		*problem = pstrdup("the path of the proxy's file is not absolute");
	else if ((text = pcapi_read_file(path, MAX_PROXY_FILE, &len, problem)) == NULL)
		*problem = psprintf("the proxy's file cannot be read: %s", *problem);
	else
	{
		char	   *start = text + strspn(text, " \t\r\n");
		size_t		url_len = strcspn(start, " \t\r\n");

		if (url_len == 0 || start + url_len + strspn(start + url_len, " \t\r\n") != text + len)
			*problem = pstrdup("the proxy's file must hold its URL and nothing else");
		else
			url = pnstrdup(start, url_len);
		explicit_bzero(text, len);
		pfree(text);
	}
	return url;
}

/* Return the proxy's URL with its scheme, "" for no proxy; NULL and *problem: it can't be used. */
static char *
read_proxy(char **problem)
{
	const char *setting = pcapi_proxy ? pcapi_proxy : "";
	bool		in_file = strncmp(setting, "file:", strlen("file:")) == 0;
	char	   *proxy = in_file ? read_proxy_file(setting + strlen("file:"), problem) : pstrdup(setting);
	const char *fault;
	bool		has_password;

	if (proxy == NULL || proxy[0] == '\0')
		return proxy;
	if (strstr(proxy, "://") == NULL)
	{
		char	   *bare = proxy;

		proxy = psprintf("http://%s", bare);
		explicit_bzero(bare, strlen(bare));
		pfree(bare);
	}
	fault = proxy_fault(proxy, &has_password);
	if (fault == NULL)
	{
		if (has_password && !in_file)
			warn_of_password();
		return proxy;
	}
	*problem = psprintf("pinterest_capi.proxy is no URL of a proxy: %s", fault);
	explicit_bzero(proxy, strlen(proxy));
	pfree(proxy);
	return NULL;
}

/*
 * Read both settings.  If one can't be used, return false and set egress->problem,
 * which quotes no secret.  Must not be called while signals are blocked: it
 * palloc's.
 */
bool
pcapi_egress_read(PcapiEgress *egress)
{
	memset(egress, 0, sizeof(PcapiEgress));
	egress->proxy = read_proxy(&egress->problem);
	if (egress->problem == NULL && pcapi_ca_file && pcapi_ca_file[0] != '\0')
	{
		egress->authorities = pcapi_read_file(pcapi_ca_file, MAX_CA_FILE, &egress->authorities_len, &egress->problem);
		if (egress->problem != NULL)
			egress->problem = psprintf("pinterest_capi.ca_file cannot be read: %s", egress->problem);
		else if (egress->authorities_len == 0)
			egress->problem = pstrdup("pinterest_capi.ca_file is empty");
	}
	return egress->problem == NULL;
}

/* Free what pcapi_egress_read() has read, and overwrite the password. */
void
pcapi_egress_free(PcapiEgress *egress)
{
	if (egress->proxy)
	{
		explicit_bzero(egress->proxy, strlen(egress->proxy));
		pfree(egress->proxy);
	}
	if (egress->authorities)
		pfree(egress->authorities);
	memset(egress, 0, sizeof(PcapiEgress));
}

/*
 * Give the settings to libcurl; false: it refuses one.  Authorities are handed over
 * as bytes.  libcurl compares these before it reuses a connection or a TLS
 * session, so a connection that other authorities have verified is not reused,
 * and no cache keeps the old contents of a file.  The path is cleared, because
 * else the compiled-in one would stay in force.
 */
bool
pcapi_egress_set(void *easy, const PcapiEgress *egress)
{
	struct curl_blob blob = {.data = egress->authorities, .len = egress->authorities_len, .flags = CURL_BLOB_COPY};
	bool		ok = true;

#define SET(option, value) ok = ok && curl_easy_setopt(easy, option, value) == CURLE_OK
	/* an empty string also keeps libcurl from reading the environment */
	SET(CURLOPT_PROXY, egress->proxy);
	SET(CURLOPT_NOPROXY, "");
	SET(CURLOPT_HTTPPROXYTUNNEL, 1L);
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	/* the system's authorities are read for each connection as well */
	SET(CURLOPT_CA_CACHE_TIMEOUT, 0L);
	if (egress->authorities)
	{
		SET(CURLOPT_SSL_OPTIONS, 0L);
		SET(CURLOPT_CAINFO_BLOB, &blob);
		SET(CURLOPT_CAPATH, NULL);
		/* the same for a proxy with TLS; a libcurl built without such proxies refuses it */
		(void) curl_easy_setopt(easy, CURLOPT_PROXY_SSL_OPTIONS, 0L);
		(void) curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO_BLOB, &blob);
		(void) curl_easy_setopt(easy, CURLOPT_PROXY_CAPATH, NULL);
	}
#undef SET
	return ok;
}

/* Remove user info from the URLs in a message, in place. */
void
pcapi_egress_scrub(char *message)
{
	char	   *url = message;

	while ((url = strstr(url, "://")) != NULL)
	{
		char	   *at = NULL;

		url += strlen("://");
		for (char *c = url; *c > ' ' && strchr("/'\"", *c) == NULL; c++)
			if (*c == '@')
				at = c;
		if (at)
			memmove(url, at + 1, strlen(at + 1) + 1);
	}
}
