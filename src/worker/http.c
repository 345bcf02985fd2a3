/*
 * http.c
 *	  Requests to the API, by libcurl's multi interface, in the worker's one wait.
 *
 * libcurl tells by callbacks which sockets and which timer it cares for; the
 * worker waits for them, its latch and the postmaster's death in one
 * WaitEventSet.  The callbacks never raise an error and never palloc, so that
 * nothing jumps through libcurl.  What an answer means is response.c's matter.
 */
#include "postgres.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>

#include "worker/worker.h"

#include "core/core.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "utils/memutils.h"

/* An answer for 1000 events has about 70 kB, with long messages some hundred. */
#define MAX_ANSWER		(4 * 1024 * 1024)
#define MAX_HEADERS		(64 * 1024)
#define MAX_SOCKETS		256

/* connections of one host that nobody uses, while those of another are busy */
#define MAX_IDLE		30L		/* seconds */

/* how long not to listen after having been woken in vain; what must be heard waits no longer */
#define NAP_MS			5L

static CURLM *multi;
static CURLSH * share;			/* TLS sessions, which else would be a request's own */
static WaitEventSet *wait_set;
static bool wait_set_stale = true;
static int	latch_position;

static struct
{
	curl_socket_t fd;
	uint32		events;
}			sockets[MAX_SOCKETS];
static int	n_sockets;
static bool sockets_lost;		/* more than fit: poll instead */

static int64 timer_at;			/* by pcapi_clock_ms(); 0: none */

/*
 * libcurl may start a thread to resolve a name.  A thread inherits the mask of
 * blocked signals, and PostgreSQL's handlers must run in the main thread only.
 */
static void
enter_curl(sigset_t *saved)
{
	sigset_t	all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, saved);
}

static void
leave_curl(const sigset_t *saved)
{
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *userp, void *socketp)
{
	uint32		events = 0;
	int			i;

	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		events |= WL_SOCKET_READABLE;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		events |= WL_SOCKET_WRITEABLE;

	for (i = 0; i < n_sockets; i++)
		if (sockets[i].fd == fd)
			break;
	wait_set_stale = true;
	if (events == 0)
	{
		if (i < n_sockets)
			sockets[i] = sockets[--n_sockets];
		return 0;
	}
	if (i == n_sockets)
	{
		if (n_sockets == MAX_SOCKETS)
		{
			sockets_lost = true;
			return 0;
		}
		n_sockets++;
	}
	sockets[i].fd = fd;
	sockets[i].events = events;
	return 0;
}

static int
on_timer(CURLM *m, long timeout_ms, void *userp)
{
	timer_at = timeout_ms < 0 ? 0 : pcapi_clock_ms() + timeout_ms;
	return 0;
}

/*
 * A request that got no answer in time leaves an HTTP/2 connection open for the
 * others on it.  If what is dead is the connection, as after a change of
 * routes, TCP would go on for a quarter of an hour, and so would requests on
 * it: it may not be silent for longer than a request.
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

static void
note_problem(PcapiRequest *r, const char *problem)
{
	strlcpy(r->problem, problem, sizeof(r->problem));
}

static size_t
on_body(char *data, size_t size, size_t nmemb, void *userp)
{
	PcapiRequest *r = userp;
	size_t		len = size * nmemb;
	char	   *bigger;

	if (r->answer_len + len > MAX_ANSWER)
	{
		note_problem(r, "it is longer than any answer should be");
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

static void
keep_header(const char *line, size_t len, const char *name, char *out, size_t out_len)
{
	size_t		name_len = strlen(name);

	if (len <= name_len || pg_strncasecmp(line, name, name_len) != 0)
		return;
	line += name_len;
	len -= name_len;
	while (len > 0 && (*line == ' ' || *line == '\t'))
		line++, len--;
	while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == '\n' || line[len - 1] == ' '))
		len--;
	if (len >= out_len)
		len = out_len - 1;
	memcpy(out, line, len);
	out[len] = '\0';
}

static size_t
on_header(char *data, size_t size, size_t nmemb, void *userp)
{
	PcapiRequest *r = userp;
	size_t		len = size * nmemb;

	r->header_bytes += len;
	if (r->header_bytes > MAX_HEADERS)
	{
		note_problem(r, "it has more headers than any answer should have");
		return 0;
	}
	keep_header(data, len, "date:", r->date, sizeof(r->date));
	keep_header(data, len, "retry-after:", r->retry_after, sizeof(r->retry_after));
	keep_header(data, len, "x-ratelimit-remaining:", r->ratelimit_remaining, sizeof(r->ratelimit_remaining));
	keep_header(data, len, "x-ratelimit-reset:", r->ratelimit_reset, sizeof(r->ratelimit_reset));
	return len;
}

static void
open_multi(void)
{
	if (multi)
		return;
	curl_global_init(CURL_GLOBAL_DEFAULT);
	multi = curl_multi_init();
	if (share == NULL)
		share = curl_share_init();
	if (multi == NULL || share == NULL ||
		curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) != CURLSHE_OK)
		ereport(FATAL, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("could not initialize libcurl"),
						errhint("Check the server's memory; the worker is started again after a second.")));
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long) CURLPIPE_MULTIPLEX);
}

/* what the request was told to do; false when libcurl has no memory for it */
static bool
set_options(CURL *easy, PcapiRequest *r, const char *url, const char *token)
{
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
	SET(CURLOPT_POSTFIELDS, r->body);
	SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) r->body_len);
	SET(CURLOPT_USERAGENT, "pinterest_capi/" PCAPI_VERSION);
	SET(CURLOPT_NOSIGNAL, 1L);
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
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_SOCKOPTFUNCTION, on_open_socket);
	/* empty ones also keep libcurl from looking into the environment */
	SET(CURLOPT_PROXY, pcapi_proxy ? pcapi_proxy : "");
	SET(CURLOPT_NOPROXY, "");
	SET(CURLOPT_HTTPPROXYTUNNEL, 1L);
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	/* what api_url may be, again: without the query that test mode adds */
	ok = ok && PcapiCurlProtocols(easy, pcapi_api_url_ok(pnstrdup(url, strcspn(url, "?")))) == CURLE_OK;
	if (pcapi_ca_file && pcapi_ca_file[0] != '\0')
		SET(CURLOPT_CAINFO, pcapi_ca_file);
#undef SET
	return ok;
}

/*
 * False, with nothing started, when libcurl refuses; the request then is
 * finished as misconfigured.
 */
bool
pcapi_http_start(PcapiRequest *r, const char *url, const char *token)
{
	sigset_t	saved;
	CURL	   *easy;
	bool		ok;

	enter_curl(&saved);
	open_multi();
	easy = curl_easy_init();
	ok = easy != NULL;
	r->easy = easy;
	ok = ok && set_options(easy, r, url, token);
	ok = ok && curl_multi_add_handle(multi, easy) == CURLM_OK;
	leave_curl(&saved);
	if (!ok)
	{
		r->transport = PCAPI_HTTP_MISCONFIGURED;
		if (r->error[0] == '\0')
			strlcpy(r->error, "libcurl refused the request", sizeof(r->error));
	}
	return ok;
}

void
pcapi_http_free(PcapiRequest *r)
{
	sigset_t	saved;

	enter_curl(&saved);
	if (r->easy)
	{
		curl_multi_remove_handle(multi, r->easy);
		curl_easy_cleanup(r->easy);
		r->easy = NULL;
	}
	curl_slist_free_all(r->headers);
	r->headers = NULL;
	free(r->answer);
	r->answer = NULL;
	leave_curl(&saved);
}

/*
 * A connection that was kept from an earlier request and turns out to be gone
 * when this one is sent: libcurl tries again on a new one, but not every
 * version does in every case.
 */
static bool
stale_connection(CURL *easy, CURLcode code)
{
	long		connects = 1;
	long		header_bytes = 0;

	if (code != CURLE_SEND_ERROR)
		return false;
	curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &connects);
	curl_easy_getinfo(easy, CURLINFO_HEADER_SIZE, &header_bytes);
	return connects == 0 && header_bytes == 0;
}

static PcapiTransport
transport_of(CURL *easy, CURLcode code)
{
	curl_off_t	pretransfer = 0;
	long		request_size = 0;

	switch (code)
	{
		case CURLE_OK:
			return PCAPI_HTTP_ANSWERED;
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_ISSUER_ERROR:
		case CURLE_SSL_INVALIDCERTSTATUS:
			return PCAPI_HTTP_UNTRUSTED;
		case CURLE_UNSUPPORTED_PROTOCOL:
			/* also what libcurl calls an answer that isn't HTTP */
			curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &request_size);
			return request_size > 0 ? PCAPI_HTTP_CUT : PCAPI_HTTP_MISCONFIGURED;
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
	/* no time of beginning to transfer, or no byte of a request: no connection came about */
	curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &pretransfer);
	curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &request_size);
	return pretransfer == 0 || request_size == 0 || stale_connection(easy, code) ?
		PCAPI_HTTP_UNREACHABLE : PCAPI_HTTP_CUT;
}

/* Once more, on a connection of its own; false: that was not the trouble, or not the first time. */
static bool
try_afresh(CURL *easy, CURLcode code)
{
	PcapiRequest *r = NULL;

	if (!stale_connection(easy, code))
		return false;
	curl_easy_getinfo(easy, CURLINFO_PRIVATE, &r);
	if (r->afresh)
		return false;
	r->afresh = true;
	r->error[0] = '\0';
	curl_multi_remove_handle(multi, easy);
	return curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK &&
		curl_multi_add_handle(multi, easy) == CURLM_OK;
}

/* Take a request that is over out of libcurl. */
static PcapiRequest *
take_finished(CURL *easy, CURLcode code)
{
	PcapiRequest *r = NULL;
	long		status = 0;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, &r);
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	r->transport = transport_of(easy, code);
	r->status = (int) status;
	if (r->problem[0] != '\0')
		strlcpy(r->error, r->problem, sizeof(r->error));
	else if (code != CURLE_OK && r->error[0] == '\0')
		strlcpy(r->error, curl_easy_strerror(code), sizeof(r->error));
	curl_multi_remove_handle(multi, easy);
	curl_easy_cleanup(easy);
	r->easy = NULL;
	return r;
}

/* The next request that is over, or NULL. */
PcapiRequest *
pcapi_http_finished(void)
{
	CURLMsg    *msg;
	int			left;
	PcapiRequest *found = NULL;
	sigset_t	saved;

	if (multi == NULL)
		return NULL;
	enter_curl(&saved);
	while ((msg = curl_multi_info_read(multi, &left)) != NULL)
	{
		if (msg->msg != CURLMSG_DONE || try_afresh(msg->easy_handle, msg->data.result))
			continue;
		found = take_finished(msg->easy_handle, msg->data.result);
		break;
	}
	leave_curl(&saved);
	return found;
}

static void
rebuild_wait_set(void)
{
	if (wait_set)
		FreeWaitEventSet(wait_set);
	wait_set = PcapiCreateWaitEventSet(n_sockets + 2);
	latch_position = AddWaitEventToSet(wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	for (int i = 0; i < n_sockets; i++)
		AddWaitEventToSet(wait_set, sockets[i].events, sockets[i].fd, NULL, NULL);
	wait_set_stale = false;
}

bool
pcapi_http_wait(long timeout_ms, bool deaf)
{
	static uint32 wait_event = 0;
	WaitEvent	events[64];
	int			n;
	int			running;
	bool		woken = false;
	sigset_t	saved;

	if (wait_event == 0)
		wait_event = PcapiWaitEvent("PinterestCapiMain");
	if (timer_at != 0)
	{
		int64		ms = Max(timer_at - pcapi_clock_ms(), 0);

		timeout_ms = Min(timeout_ms, (long) ms);
	}
	if (sockets_lost)
		timeout_ms = Min(timeout_ms, 20);
	if (wait_set == NULL || wait_set_stale)
		rebuild_wait_set();

	/*
	 * A session whose event can't leave now need not have said so, and the
	 * next ones need not wake us for each of theirs: for a moment the latch
	 * is left as it was set, which costs them nothing.
	 */
	ModifyWaitEvent(wait_set, latch_position, WL_LATCH_SET, deaf ? NULL : MyLatch);
	if (deaf)
		timeout_ms = Min(timeout_ms, NAP_MS);
	n = WaitEventSetWait(wait_set, timeout_ms, events, lengthof(events), wait_event);
	for (int i = 0; i < n; i++)
		if (events[i].events & WL_LATCH_SET)
		{
			ResetLatch(MyLatch);
			woken = true;
		}
	if (multi == NULL)
		return woken;

	enter_curl(&saved);
	for (int i = 0; i < n; i++)
	{
		int			mask = 0;

		if (events[i].events & WL_SOCKET_READABLE)
			mask |= CURL_CSELECT_IN;
		if (events[i].events & WL_SOCKET_WRITEABLE)
			mask |= CURL_CSELECT_OUT;
		if (mask != 0)
			curl_multi_socket_action(multi, events[i].fd, mask, &running);
	}
	if (sockets_lost)
	{
		sockets_lost = false;
		curl_multi_perform(multi, &running);
	}
	if (timer_at != 0 && timer_at <= pcapi_clock_ms())
	{
		timer_at = 0;
		curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	leave_curl(&saved);
	return woken;
}

/* Connections and the resolver's cache go; the next request makes them anew, by the TLS session it had. */
void
pcapi_http_close_idle(void)
{
	sigset_t	saved;

	if (multi == NULL)
		return;
	enter_curl(&saved);
	curl_multi_cleanup(multi);
	leave_curl(&saved);
	multi = NULL;
	n_sockets = 0;
	sockets_lost = false;
	timer_at = 0;
	wait_set_stale = true;
}
