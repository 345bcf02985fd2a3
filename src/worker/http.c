/*
 * http.c
 *	  Run requests to the API by libcurl's multi interface, within the worker's
 *	  only wait.
 *
 * libcurl names by callbacks the sockets and the timer to wait for.  The worker
 * waits for them, its latch and the postmaster's death in one WaitEventSet.  A
 * request's own callbacks and options are in transfer.c; response.c reads the
 * answers.
 */
#include "postgres.h"

#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>

#include "pinterest_capi.h"

#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "worker/egress.h"
#include "worker/http.h"
#include "worker/transfer.h"

#define MAX_SOCKETS		256

/* abandoned name look-ups, each with a thread that may still wait for its name server */
#define MAX_LOST		100

/* how long the latch is ignored after a spurious wake-up, and how long a real one may wait at most */
#define WAKEUP_COALESCE_MS			5L

static CURLM *multi;
static CURLSH * share;			/* TLS sessions, for all requests */
static WaitEventSet *wait_set;
static bool wait_set_stale = true;
static int	latch_position;

static struct
{
	curl_socket_t fd;
	uint32		events;
}			sockets[MAX_SOCKETS];
static int	n_sockets;
static bool sockets_lost;		/* there are more than MAX_SOCKETS: poll instead */

static int64 timer_at;			/* by pcapi_clock_ms(); 0: none */

static int	lost_lookups;

/*
 * Block all signals while libcurl's code runs.  libcurl may start a thread to
 * resolve a name.  A thread inherits the mask of blocked signals, and PostgreSQL's
 * handlers must run in the main thread alone.
 */
static void
enter_curl(sigset_t *saved)
{
	sigset_t	all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, saved);
}

/* Restore the mask that enter_curl() has saved. */
static void
leave_curl(const sigset_t *saved)
{
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

/* Note which events libcurl waits for on a socket. */
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

/* Note when libcurl's timer ends. */
static int
on_timer(CURLM *m, long timeout_ms, void *userp)
{
	timer_at = timeout_ms < 0 ? 0 : pcapi_clock_ms() + timeout_ms;
	return 0;
}

/* Create the multi handle, at the first request and after pcapi_http_close_idle(). */
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
	PcapiCurlQuickExit(multi);
}

/*
 * Start a request.  If a setting can't be used or libcurl refuses, return false
 * with nothing started; the request then is finished as misconfigured.
 */
bool
pcapi_http_start(PcapiRequest *r, const char *url, const char *token)
{
	sigset_t	saved;
	CURL	   *easy;
	PcapiEgress egress;
	bool		ok = pcapi_egress_read(&egress);

	if (ok)
	{
		enter_curl(&saved);
		open_multi();
		easy = curl_easy_init();
		ok = easy != NULL;
		r->easy = easy;
		ok = ok && pcapi_transfer_set(r, url, token, &egress, share);
		ok = ok && curl_multi_add_handle(multi, easy) == CURLM_OK;
		leave_curl(&saved);
		pcapi_egress_scrub(r->error);
	}
	if (!ok)
	{
		r->transport = PCAPI_HTTP_MISCONFIGURED;
		if (egress.problem)
			strlcpy(r->error, egress.problem, sizeof(r->error));
		else if (r->error[0] == '\0')
			strlcpy(r->error, "libcurl refused the request", sizeof(r->error));
	}
	pcapi_egress_free(&egress);
	return ok;
}

/* Abort the request if it is in flight, and free what belongs to it. */
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
 * Retry once, on a new connection, if the server can't have processed the request:
 * the connection was stale, or is not for this host (421).  Return false if the
 * failure was another one, or a second one.
 */
static bool
retry_on_new_connection(CURL *easy, CURLcode code)
{
	PcapiRequest *r = NULL;
	long		status = 0;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, &r);
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	if (r->retried || !(pcapi_transfer_stale(r, code) || (code == CURLE_OK && status == 421)))
		return false;
	r->retried = true;
	pcapi_transfer_again(r);
	curl_multi_remove_handle(multi, easy);
	return curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 0L) == CURLE_OK &&
		curl_multi_add_handle(multi, easy) == CURLM_OK;
}

/* Count an abandoned name look-up; its thread exits when the resolver returns, if ever. */
static void
note_lost_lookup(CURL *easy, CURLcode code)
{
	curl_off_t	looked_up = 0;

	if (code != CURLE_OPERATION_TIMEDOUT)
		return;
	curl_easy_getinfo(easy, CURLINFO_NAMELOOKUP_TIME_T, &looked_up);
	if (looked_up == 0)
		lost_lookups++;
}

/* Remove a finished request from libcurl. */
static PcapiRequest *
take_finished(CURL *easy, CURLcode code)
{
	PcapiRequest *r = NULL;
	long		status = 0;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, &r);
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	r->transport = pcapi_transfer_end(r, code);
	r->status = (int) status;
	note_lost_lookup(easy, code);
	if (r->problem[0] != '\0')
		strlcpy(r->error, r->problem, sizeof(r->error));
	else if (code != CURLE_OK && r->error[0] == '\0')
		strlcpy(r->error, curl_easy_strerror(code), sizeof(r->error));
	pcapi_egress_scrub(r->error);
	curl_multi_remove_handle(multi, easy);
	curl_easy_cleanup(easy);
	r->easy = NULL;
	return r;
}

/* Return the next finished request, or NULL. */
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
		if (msg->msg != CURLMSG_DONE || retry_on_new_connection(msg->easy_handle, msg->data.result))
			continue;
		found = take_finished(msg->easy_handle, msg->data.result);
		break;
	}
	leave_curl(&saved);
	return found;
}

/* Create the WaitEventSet for the latch, the postmaster and the sockets of now. */
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

/* Wait for the latch, a socket or the timeout, then let libcurl work; true: the latch was set. */
bool
pcapi_http_wait(long timeout_ms, bool ignore_latch)
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
	 * The last wake-up was for an event that can't be sent now.  More
	 * sessions may set the latch for such events, so for a moment it stays
	 * set and is not waited for: setting a set latch costs them nothing.
	 */
	ModifyWaitEvent(wait_set, latch_position, WL_LATCH_SET, ignore_latch ? NULL : MyLatch);
	if (ignore_latch)
		timeout_ms = Min(timeout_ms, WAKEUP_COALESCE_MS);
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

/* Close connections and the resolver's cache; the next request opens new ones, with the TLS sessions it has. */
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

/* Has the process too many threads that wait for a resolver?  Only its exit ends them. */
bool
pcapi_http_worn(void)
{
	return lost_lookups >= MAX_LOST;
}
