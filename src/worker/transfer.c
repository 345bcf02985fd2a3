/*
 * transfer.c
 *	  Describe one request to libcurl, collect its answer, and tell how far a
 *	  request got that failed.
 *
 * The callbacks never raise an error and never palloc, so that no longjmp
 * crosses libcurl.  http.c runs the requests; response.c reads the answers.
 */
#include "postgres.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "pinterest_capi.h"

#include "common/guc.h"
#include "core/url.h"
#include "worker/egress.h"
#include "worker/transfer.h"

/* An answer for 1000 events has about 70 kB, with long messages some hundred kB. */
#define MAX_ANSWER		(4 * 1024 * 1024)
#define MAX_HEADERS		(64 * 1024)

/* libcurl's own limit since 8.12 */
#define RETRY_AFTER_MAX	(6 * 60 * 60)	/* seconds */

/* an idle connection to one host is closed after this, while those to others are busy */
#define MAX_IDLE		30L		/* seconds */

/* a connection is used for no longer than this: addresses and the system's authorities change */
#define MAX_AGE			3600L	/* seconds */

/*
 * Limit how long TCP waits for an acknowledgement to the time of a request.  A
 * request that times out keeps its HTTP/2 connection open for the others on it.
 * If the connection itself is dead, as after a change of senders, TCP would
 * retransmit for a quarter of an hour, and requests on it would wait as long.
 */
static int
on_open_socket(void *userp, curl_socket_t fd, curlsocktype purpose)
{
#ifdef TCP_USER_TIMEOUT
	unsigned int ms = pcapi_request_timeout * 1000U;

	(void) setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
#endif
	return CURL_SOCKOPT_OK;
}

/* Keep why a callback aborts the request. */
static void
set_abort_reason(PcapiRequest *r, const char *problem)
{
	strlcpy(r->problem, problem, sizeof(r->problem));
}

/* Append to the answer. */
static size_t
on_body(char *data, size_t size, size_t nmemb, void *userp)
{
	PcapiRequest *r = userp;
	size_t		len = size * nmemb;
	char	   *bigger;

	if (r->answer_len + len > MAX_ANSWER)
	{
		set_abort_reason(r, "it is longer than any answer should be");
		return 0;
	}
	bigger = realloc(r->answer, r->answer_len + len + 1);
	if (bigger == NULL)
		return 0;
	r->answer = bigger;
	memcpy(r->answer + r->answer_len, data, len);
	r->answer_len += len;
	r->answer[r->answer_len] = '\0';
	return len;
}

/*
 * Hand the next bytes of the body to libcurl.  libcurl never asks for more than
 * there is, unless it restarts without a call of on_seek; such a request must not
 * look complete, so it is aborted.
 */
static size_t
on_read(char *to, size_t size, size_t nmemb, void *userp)
{
	PcapiRequest *r = userp;
	size_t		len = Min(size * nmemb, r->body_len - r->handed);

	if (len == 0)
		return CURL_READFUNC_ABORT;
	memcpy(to, r->body + r->handed, len);
	r->handed += len;
	return len;
}

/*
 * Allow a restart only if the body was not handed over completely.  libcurl
 * restarts when a reused connection ends before the first byte of an answer, by
 * itself and up to five times, even if the server has read and processed the
 * whole request.  An incomplete body can't have been processed.  For a complete
 * one the restart is refused, and the outcome of this attempt is unknown.  (An
 * HTTP/2 stream that the server has refused is safe to repeat, but nothing tells
 * it from the others here.)
 */
static int
on_seek(void *userp, curl_off_t offset, int origin)
{
	PcapiRequest *r = userp;

	if (origin != SEEK_SET || offset != 0)
		return CURL_SEEKFUNC_FAIL;
	if (r->handed == r->body_len)
	{
		set_abort_reason(r, "the connection ended before an answer");
		return CURL_SEEKFUNC_FAIL;
	}
	r->handed = 0;
	return CURL_SEEKFUNC_OK;
}

/* Return the value of a header of the final answer, or NULL. */
static const char *
header_value(PcapiRequest *r, const char *name)
{
	struct curl_header *header;

	return curl_easy_header(r->easy, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK ? header->value : NULL;
}

/* Return a header's value as seconds, 0 for none. */
static int64
header_seconds(PcapiRequest *r, const char *name)
{
	const char *value = header_value(r, name);

	return value ? Max(strtoll(value, NULL, 10), 0) : 0;
}

/*
 * Return the seconds that Retry-After asks for, a number or a date, 0 for none.
 * CURLINFO_RETRY_AFTER alone would also tell of an interim answer's header.
 * libcurl has a maximum of 6 hours since 8.12, none before, and negative
 * values for a date in the past before 8.12.
 */
static int64
retry_after(PcapiRequest *r)
{
	curl_off_t	seconds = 0;

	if (header_value(r, "Retry-After") == NULL ||
		curl_easy_getinfo(r->easy, CURLINFO_RETRY_AFTER, &seconds) != CURLE_OK)
		return 0;
	return Min(Max(seconds, 0), RETRY_AFTER_MAX);
}

/* Keep what the final answer's headers say. */
static void
read_headers(PcapiRequest *r)
{
	const char *date = header_value(r, "Date");
	const char *remaining = header_value(r, "X-RateLimit-Remaining");

	r->date = date ? Max((int64) curl_getdate(date, NULL), 0) : 0;
	r->retry_after = retry_after(r);
	r->ratelimit_exhausted = remaining != NULL && strcmp(remaining, "0") == 0;
	r->ratelimit_reset = header_seconds(r, "X-RateLimit-Reset");
}

/* Discard the answer, so that the request can be retried. */
void
pcapi_transfer_again(PcapiRequest *r)
{
	r->error[0] = '\0';
	r->handed = r->answer_len = r->header_bytes = 0;
	r->date = r->retry_after = r->ratelimit_reset = 0;
	r->ratelimit_exhausted = false;
}

/*
 * Count the headers' bytes, and read the headers at the empty line that ends
 * them.  Trailers come later: libcurl 7.88 calls those of HTTP/2 headers.  The
 * status is 0 while a proxy answers, and below 200 for an interim answer.
 */
static size_t
on_header(char *data, size_t size, size_t nmemb, void *userp)
{
	PcapiRequest *r = userp;
	size_t		len = size * nmemb;
	long		status = 0;

	r->header_bytes += len;
	if (r->header_bytes > MAX_HEADERS)
	{
		set_abort_reason(r, "it has more headers than any answer should have");
		return 0;
	}
	if (len == 0 || (data[0] != '\r' && data[0] != '\n'))
		return len;
	curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 200)
		read_headers(r);
	/* the wrong server for this name: no later request shall use this connection */
	if (status == 421)
		curl_easy_setopt(r->easy, CURLOPT_FORBID_REUSE, 1L);
	return len;
}

/* Set the request's options; false: libcurl refuses one, or has no memory for it. */
bool
pcapi_transfer_set(PcapiRequest *r, const char *url, const char *token, const PcapiEgress *egress, void *share)
{
	CURL	   *easy = r->easy;
	struct curl_slist *headers = NULL;
	char	   *authorization = psprintf("Authorization: Bearer %s", token);
	const char *const lines[] = {authorization, "Content-Type: application/json",
		"Accept: application/json", "Expect:"};
	bool		ok = true;

	for (int i = 0; i < lengthof(lines) && ok; i++)
	{
		struct curl_slist *more = curl_slist_append(headers, lines[i]);

		ok = (more != NULL);
		if (ok)
			headers = more;
	}
	explicit_bzero(authorization, strlen(authorization));
	pfree(authorization);
	r->headers = headers;

#define SET(option, value) ok = ok && curl_easy_setopt(easy, option, value) == CURLE_OK
	SET(CURLOPT_URL, url);
	SET(CURLOPT_HTTPHEADER, headers);
	SET(CURLOPT_POST, 1L);
	SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) r->body_len);
	SET(CURLOPT_READFUNCTION, on_read);
	SET(CURLOPT_READDATA, r);
	SET(CURLOPT_SEEKFUNCTION, on_seek);
	SET(CURLOPT_SEEKDATA, r);
	/* all encodings that this libcurl can unpack; on_body limits the unpacked size */
	SET(CURLOPT_ACCEPT_ENCODING, "");
	SET(CURLOPT_USERAGENT, "pinterest_capi/" PCAPI_VERSION);
	SET(CURLOPT_NOSIGNAL, 1L);
	/* the end of a request does not wait for the thread of a slow name look-up */
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_PRIVATE, r);
	SET(CURLOPT_ERRORBUFFER, r->error);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, r);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, r);
	SET(CURLOPT_CONNECTTIMEOUT, (long) pcapi_connect_timeout);
	SET(CURLOPT_TIMEOUT, (long) pcapi_request_timeout);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_2TLS);
	SET(CURLOPT_PIPEWAIT, 1L);
	SET(CURLOPT_SHARE, share);
	SET(CURLOPT_MAXAGE_CONN, MAX_IDLE);
	SET(CURLOPT_MAXLIFETIME_CONN, MAX_AGE);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_SOCKOPTFUNCTION, on_open_socket);
	/* the check of api_url once more, without the query that test mode adds */
	SET(CURLOPT_PROTOCOLS_STR, pcapi_api_url_ok(pnstrdup(url, strcspn(url, "?"))) ? "http,https" : "https");
#undef SET
	return ok && pcapi_egress_set(easy, egress);
}

/*
 * Did a reused connection turn out to be closed before all of the request was
 * sent?  libcurl retries on a new connection, but not every version does in every
 * case.
 */
bool
pcapi_transfer_stale(const PcapiRequest *r, int code)
{
	long		connects = 1;
	long		header_bytes = 0;
	curl_off_t	sent = 0;

	if (code != CURLE_SEND_ERROR)
		return false;
	curl_easy_getinfo(r->easy, CURLINFO_NUM_CONNECTS, &connects);
	curl_easy_getinfo(r->easy, CURLINFO_HEADER_SIZE, &header_bytes);
	curl_easy_getinfo(r->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
	return connects == 0 && header_bytes == 0 && sent < (curl_off_t) r->body_len;
}

/* Tell how far a request got; code is a CURLcode. */
PcapiHttpResult
pcapi_transfer_end(const PcapiRequest *r, int code)
{
	CURL	   *easy = r->easy;
	curl_off_t	pretransfer = 0;
	long		request_size = 0;

	if (code == CURLE_OK)
		return PCAPI_HTTP_ANSWERED;
	if (pcapi_transfer_stale(r, code))
		return PCAPI_HTTP_UNREACHABLE;

	/* a later failure, such as that of a second connection, does not undo a complete body */
	if (r->handed == r->body_len)
		return PCAPI_HTTP_INTERRUPTED;
	switch (code)
	{
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_ISSUER_ERROR:
		case CURLE_SSL_INVALIDCERTSTATUS:
			return PCAPI_HTTP_UNTRUSTED;
		case CURLE_UNSUPPORTED_PROTOCOL:
			/* libcurl has this code for an answer that isn't HTTP, too */
			curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &request_size);
			return request_size > 0 ? PCAPI_HTTP_INTERRUPTED : PCAPI_HTTP_MISCONFIGURED;
		case CURLE_URL_MALFORMAT:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_CERTPROBLEM:
		case CURLE_SSL_CIPHER:
		case CURLE_SSL_ENGINE_NOTFOUND:
			return PCAPI_HTTP_MISCONFIGURED;
		case CURLE_COULDNT_RESOLVE_PROXY:
		case CURLE_COULDNT_RESOLVE_HOST:
		case CURLE_COULDNT_CONNECT:
		case CURLE_SSL_CONNECT_ERROR:
			return PCAPI_HTTP_UNREACHABLE;
		default:
			break;
	}
	/* without a start of the transfer, or a byte of a request, there was no connection */
	curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &pretransfer);
	curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &request_size);
	return pretransfer == 0 || request_size == 0 ? PCAPI_HTTP_UNREACHABLE : PCAPI_HTTP_INTERRUPTED;
}
