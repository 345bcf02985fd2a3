/*
 * batch.c
 *	  The events of one request: its body, its start, what its answer means
 *	  for each of them and for the destination.
 *
 * Which events go together is route.c's matter; transactions and the order of
 * things are dispatch.c's.  What is to be written is worked out once, when the
 * answer is there, so that settling can be repeated as often as it fails.
 */
#include "worker/worker.h"

#include "common/pg_prng.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define MAX_TOKEN_FILE	8192

/* Pinterest counts what comes later as offline */
#define LATE_AFTER		USECS_PER_HOUR

PcapiBatch *
pcapi_batch_create(PcapiRoute *route, int room)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "pinterest_capi batch",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	PcapiBatch *batch = palloc0(sizeof(PcapiBatch));

	batch->context = context;
	batch->route = route;
	batch->life = route->target.life;
	batch->state = PCAPI_B_CLAIMED;
	batch->events = palloc(sizeof(PcapiSending) * Max(room, 1));
	initStringInfo(&batch->body);
	appendStringInfoString(&batch->body, "{\"data\":[");
	dlist_push_tail(&route->batches, &batch->node);
	MemoryContextSwitchTo(old);
	return batch;
}

/* False when the request would become too large; one event always fits. */
bool
pcapi_batch_add(PcapiBatch *batch, const PcapiClaimed *event, const char *payload, int len)
{
	PcapiSending *s;

	if (batch->n > 0 && batch->body.len + len + 3 > PCAPI_MAX_BODY)
		return false;
	s = &batch->events[batch->n];
	s->id = event->id;
	s->tid = event->tid;
	s->xmin = event->xmin;
	s->created_at = event->created_at;
	s->attempts = event->attempts;
	s->waits_since = event->waits_since;
	s->event_time = event->event_time;
	s->first_attempt_at = event->first_attempt_at;
	s->offline = strstr(payload, "\"action_source\":\"offline\"") != NULL;
	if (batch->n > 0)
		appendStringInfoChar(&batch->body, ',');
	appendBinaryStringInfo(&batch->body, payload, len);
	batch->n++;
	return true;
}

static int
compare_ids(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return x < y ? -1 : x > y ? 1 : 0;
}

void
pcapi_batch_seal(PcapiBatch *batch)
{
	appendStringInfoString(&batch->body, "]}");
	batch->ids = MemoryContextAlloc(batch->context, sizeof(int64) * Max(batch->n, 1));
	for (int i = 0; i < batch->n; i++)
		batch->ids[i] = batch->events[i].id;
	qsort(batch->ids, batch->n, sizeof(int64), compare_ids);
}

bool
pcapi_batch_holds(const PcapiBatch *batch, int64 id)
{
	return batch->ids != NULL &&
		bsearch(&id, batch->ids, batch->n, sizeof(int64), compare_ids) != NULL;
}

void
pcapi_batch_free(PcapiBatch *batch)
{
	pcapi_http_free(&batch->request);
	if (batch->token)
		explicit_bzero(batch->token, strlen(batch->token));
	dlist_delete(&batch->node);
	MemoryContextDelete(batch->context);
}

/*
 * The token, or NULL and *problem.  A file is read for each request, so that a
 * new token takes effect by writing the file.  An owner of the tables could put
 * any path there, past configure_destination's check, so it is made here too.
 */
static char *
read_token(const PcapiTarget *target, char **problem)
{
	const char *stored = target->token;
	const char *path = stored + strlen("file:");
	char	   *token;
	size_t		file_len;
	size_t		len;
	char	   *start;

	if (strncmp(stored, "file:", strlen("file:")) != 0)
		return pstrdup(stored);
	if (!target->may_read_files)
	{
		*problem = pstrdup("access token file cannot be read: the extension's owner is no member of pg_read_server_files");
		return NULL;
	}
	token = pcapi_read_file(path, MAX_TOKEN_FILE, &file_len, problem);
	if (token == NULL)
	{
		*problem = psprintf("access token file cannot be read: %s", *problem);
		return NULL;
	}
	start = token + strspn(token, " \t\r\n");
	len = strcspn(start, " \t\r\n");
	if (len == 0 || start + len + strspn(start + len, " \t\r\n") != token + file_len)
		*problem = pstrdup("access token file cannot be read: it must hold the token and nothing else");
	for (size_t i = 0; *problem == NULL && i < len; i++)
		if ((unsigned char) start[i] < ' ' || (unsigned char) start[i] > '~')
			*problem = pstrdup("access token file cannot be read: the token has characters that none can have");
	if (*problem != NULL)
	{
		explicit_bzero(token, file_len);
		return NULL;
	}
	memmove(token, start, len);
	explicit_bzero(token + len, file_len - len);
	return token;
}

/* ---- what an answer means ---- */

/*
 * The destination as a whole could not take it: wait, longer each time.
 * Requests that went out before the last refusal say nothing new.
 */
static void
back_off(PcapiBatch *batch, uint64 random, int64 wait_ms, const char *reason)
{
	PcapiRoute *route = batch->route;
	TimestampTz now = GetCurrentTimestamp();

	if (route->refusals == 0)
		ereport(LOG,
				(errmsg("destination \"%s\" takes no events for now: %s", route->target.name, reason),
				 errdetail("Events wait and are tried again."),
				 errhint("If it lasts, pinterest_capi.doctor() tells what to look at.")));
	if (route->refusals == 0 || batch->sent_at >= route->refused_at)
	{
		route->refusals++;
		route->refused_at = now;
	}
	batch->backoff_ms = Max(pcapi_backoff_ms(route->refusals, random), wait_ms);
	batch->backoff_reason = pstrdup(reason);
	route->target.backoff_until = Max(route->target.backoff_until, now + batch->backoff_ms * 1000);
}

static PcapiSettled *
settle_event(PcapiBatch *batch, int i, PcapiFate fate, const PcapiAnswer *answer)
{
	PcapiSettled *s = &batch->settled[batch->n_settled++];

	memset(s, 0, sizeof(PcapiSettled));
	s->id = batch->events[i].id;
	s->tid = batch->events[i].tid;
	s->xmin = batch->events[i].xmin;
	s->created_at = batch->events[i].created_at;
	s->fate = fate;
	s->attempted = true;
	s->test_mode = batch->test_mode;
	s->http_status = answer->http_status;
	s->error = answer->message;
	return s;
}

static void
read_entries(PcapiBatch *batch, const PcapiAnswer *answer)
{
	for (int i = 0; i < batch->n; i++)
	{
		const PcapiSending *event = &batch->events[i];
		const PcapiEntry *entry = &answer->entries[i];
		PcapiSettled *s = settle_event(batch, i, entry->failed ? PCAPI_FAILED : PCAPI_SENT, answer);

		s->error = entry->error;
		s->warning = entry->warning;
		if (entry->failed)
		{
			if (s->error == NULL)
				s->error = "refused without a message";
			if (batch->error == NULL)
				batch->error = pstrdup(s->error);
			continue;
		}
		batch->accepted = true;
		if (!event->offline && batch->sent_at - event->event_time > LATE_AFTER)
			s->warning = entry->warning ?
				psprintf("%s\n%s", entry->warning, PCAPI_WARNING_LATE) : PCAPI_WARNING_LATE;
	}
	if (answer->wait_ms > 0)
		batch->route->wait_until = GetCurrentTimestamp() + answer->wait_ms * 1000;
}

/* An attempt that came to nothing; the last one once retry_for is over. */
static void
retry_events(PcapiBatch *batch, const PcapiAnswer *answer, uint64 random)
{
	for (int i = 0; i < batch->n; i++)
	{
		const PcapiSending *event = &batch->events[i];
		TimestampTz first = event->first_attempt_at ? event->first_attempt_at : batch->sent_at;
		bool		over = (GetCurrentTimestamp() - first >= batch->route->target.retry_for);
		PcapiSettled *s = settle_event(batch, i, over ? PCAPI_FAILED : PCAPI_RETRY, answer);

		s->delay_ms = Max(pcapi_backoff_ms(event->attempts + 1, random), answer->wait_ms);
		if (over)
			s->reason = "retries used up";
		if (answer->verdict == PCAPI_A_UNKNOWN)
			s->warning = PCAPI_WARNING_UNKNOWN;
	}
}

/*
 * Nothing was taken: the events wait as if nothing had happened, unless the
 * destination has been out of reach for longer than they may be retried.
 */
static void
release_events(PcapiBatch *batch, const PcapiAnswer *answer, bool give_up)
{
	const PcapiTarget *target = &batch->route->target;

	for (int i = 0; i < batch->n; i++)
	{
		const PcapiSending *event = &batch->events[i];
		TimestampTz since = Max(event->waits_since, target->failing_since);

		if (give_up && target->failing_since != 0 &&
			GetCurrentTimestamp() - since >= target->retry_for)
		{
			PcapiSettled *s = settle_event(batch, i, PCAPI_FAILED, answer);

			s->attempted = false;
			s->reason = "retries used up";
		}
		else
			pcapi_route_release(batch->route, event->id);
	}
}

static void
fail_events(PcapiBatch *batch, const PcapiAnswer *answer)
{
	for (int i = 0; i < batch->n; i++)
		settle_event(batch, i, PCAPI_FAILED, answer);
}

static void
split(PcapiBatch *batch)
{
	int			middle = batch->n / 2;

	elog(DEBUG1, "batch of %d events for destination \"%s\" is split into %d and %d",
		 batch->n, batch->route->target.name, middle, batch->n - middle);
	for (int part = 0; part < 2; part++)
	{
		int			n = part == 0 ? middle : batch->n - middle;
		PcapiBatch *half = pcapi_batch_create(batch->route, 0);

		half->state = PCAPI_B_HALF;
		half->refused_since = batch->refused_since ? batch->refused_since : batch->sent_at;
		half->n = n;
		half->ids = MemoryContextAlloc(half->context, sizeof(int64) * n);
		memcpy(half->ids, batch->ids + (part == 0 ? 0 : middle), sizeof(int64) * n);
	}
}

/* What waits in halves is read again with the rest once somebody has acted. */
static void
release_halves(PcapiRoute *route)
{
	dlist_mutable_iter it;

	dlist_foreach_modify(it, &route->batches)
	{
		PcapiBatch *half = dlist_container(PcapiBatch, node, it.cur);

		if (half->state != PCAPI_B_HALF)
			continue;
		for (int i = 0; i < half->n; i++)
			pcapi_route_release(route, half->ids[i]);
		pcapi_batch_free(half);
	}
}

/* Not before somebody has acted: what waits is read again after that. */
static void
pause_route(PcapiBatch *batch, const char *reason)
{
	PcapiRoute *route = batch->route;

	release_halves(route);
	batch->pause_reason = pstrdup(reason);
	route->target.ready = false;
	route->unread = route->blocked = 0;
}

/*
 * A success that can't be read, as often as that comes from a portal, a proxy
 * or an API that has changed: what was sent may have been processed each time.
 * Requests that went out before the last refusal are of the same round.
 */
static bool
unread_too_often(PcapiBatch *batch)
{
	PcapiRoute *route = batch->route;

	if (route->refusals == 0 || batch->sent_at >= route->refused_at)
		route->unread++;
	return route->unread >= PCAPI_MAX_UNREAD;
}

/*
 * Whether others were accepted since the event was first refused, so that it is
 * the event.
 */
static bool
others_pass(const PcapiBatch *batch)
{
	TimestampTz since = batch->events[0].first_attempt_at ? batch->events[0].first_attempt_at : batch->refused_since;

	return since != 0 && batch->route->heard_at >= since;
}

/*
 * Refused like a batch with a bad event in it, but by something on the way.  If
 * it takes offence at an event, that is found as usual; if at all of them, none
 * is failed for it.
 */
static void
judge_blocked(PcapiBatch *batch, const PcapiAnswer *answer, uint64 random)
{
	if (++batch->route->blocked >= PCAPI_MAX_BLOCKED)
	{
		release_events(batch, answer, false);
		pause_route(batch, psprintf("%s, %d times in a row", answer->message, PCAPI_MAX_BLOCKED));
	}
	else if (batch->n > 1)
		split(batch);
	else if (others_pass(batch))
		fail_events(batch, answer);
	else
	{
		retry_events(batch, answer, random);
		back_off(batch, random, answer->wait_ms, answer->message);
	}
}

static void
judge(PcapiBatch *batch, const PcapiAnswer *answer)
{
	PcapiRoute *route = batch->route;
	uint64		random = pg_prng_uint64(&pg_global_prng_state);

	batch->settled = palloc(sizeof(PcapiSettled) * Max(batch->n, 1));
	batch->written = palloc(sizeof(PcapiWritten) * Max(batch->n, 1));
	batch->n_settled = 0;
	if (answer->message)
		batch->error = pstrdup(answer->message);

	switch (answer->verdict)
	{
		case PCAPI_A_ENTRIES:
			read_entries(batch, answer);
			route->unread = route->blocked = 0;
			route->heard_at = Max(route->heard_at, batch->sent_at);
			break;
		case PCAPI_A_REFUSED:
			route->blocked = 0;
			if (batch->n > 1)
				split(batch);
			else
				fail_events(batch, answer);
			break;
		case PCAPI_A_BLOCKED:
			judge_blocked(batch, answer, random);
			break;
		case PCAPI_A_RETRY:
		case PCAPI_A_UNKNOWN:
			retry_events(batch, answer, random);
			if (answer->unread && unread_too_often(batch))
				pause_route(batch, psprintf("%s, %d times in a row; the events may have been processed", answer->message, PCAPI_MAX_UNREAD));
			else
				back_off(batch, random, answer->wait_ms, answer->message);
			break;
		case PCAPI_A_THROTTLED:
		case PCAPI_A_UNREACHABLE:
			release_events(batch, answer, true);
			back_off(batch, random, answer->wait_ms, answer->message);
			break;
		case PCAPI_A_PAUSE:
			release_events(batch, answer, false);
			pause_route(batch, answer->message);
			break;
	}

	/*
	 * The API's answer about events is one, whatever it says of them.  But a
	 * request that was out already when another was refused says nothing of
	 * what the API takes now.
	 */
	batch->recovered = (answer->verdict == PCAPI_A_ENTRIES || answer->verdict == PCAPI_A_REFUSED) &&
		(route->refusals == 0 || batch->sent_at >= route->refused_at);
	if (batch->recovered && route->refusals > 0)
	{
		route->refusals = 0;
		route->target.backoff_until = 0;
		ereport(LOG,
				(errmsg("destination \"%s\" takes events again", route->target.name)));
	}
}

static const char *
transport_name(PcapiTransport transport)
{
	switch (transport)
	{
		case PCAPI_HTTP_ANSWERED:
			return "answered";
		case PCAPI_HTTP_UNREACHABLE:
			return "no connection";
		case PCAPI_HTTP_CUT:
			return "broken off";
		case PCAPI_HTTP_UNTRUSTED:
			return "certificate refused";
		case PCAPI_HTTP_MISCONFIGURED:
			return "refused by libcurl";
	}
	return "unknown";
}

void
pcapi_batch_answered(PcapiBatch *batch)
{
	MemoryContext old = MemoryContextSwitchTo(batch->context);
	PcapiAnswer *answer = pcapi_read_answer(&batch->request, batch->n, batch->token);

	if (batch->started_ms != 0)
		elog(DEBUG1, "request for destination \"%s\" ended: %s, status %d, " INT64_FORMAT " ms",
			 batch->route->target.name, transport_name(batch->request.transport), batch->request.status,
			 pcapi_clock_ms() - batch->started_ms);
	if (batch->verify)
	{
		if (answer->verdict == PCAPI_A_PAUSE)
		{
			batch->pause_reason = answer->message;
			batch->route->target.ready = false;
		}
		pcapi_verify_answer(batch, answer);
	}
	else
		judge(batch, answer);
	batch->state = PCAPI_B_ANSWERED;
	pcapi_http_free(&batch->request);
	MemoryContextSwitchTo(old);
}

static char *
request_url(const PcapiBatch *batch, const PcapiTarget *target)
{
	return psprintf("%s/ad_accounts/%s/events%s", target->api_url, target->ad_account_id,
					batch->test_mode ? "?test=true" : "");
}

/* The request leaves.  The lease is committed; no transaction is open. */
void
pcapi_batch_start(PcapiBatch *batch)
{
	MemoryContext old = MemoryContextSwitchTo(batch->context);
	const PcapiTarget *target = &batch->route->target;
	char	   *problem = NULL;

	batch->test_mode = target->test_mode || batch->verify;
	batch->url = request_url(batch, target);
	batch->sent_at = GetCurrentTimestamp();
	if (!batch->verify)
		batch->route->last_start = batch->sent_at;
	batch->state = PCAPI_B_OUT;
	batch->request.owner = batch;
	batch->request.body = batch->body.data;
	batch->request.body_len = batch->body.len;

	batch->token = read_token(target, &problem);
	if (batch->token == NULL)
	{
		/* as if there were no connection: waiting may help, and nothing was sent */
		batch->request.transport = PCAPI_HTTP_UNREACHABLE;
		strlcpy(batch->request.error, problem, sizeof(batch->request.error));
		pcapi_batch_answered(batch);
		MemoryContextSwitchTo(old);
		return;
	}
	elog(DEBUG1, "request for destination \"%s\" starts: %s, events: %d, bytes: %d",
		 target->name, batch->verify ? "verification" : "batch", batch->n, batch->body.len);
	batch->started_ms = pcapi_clock_ms();
	if (!pcapi_http_start(&batch->request, batch->url, batch->token))
		pcapi_batch_answered(batch);
	MemoryContextSwitchTo(old);
}

/*
 * A refusal of what was replaced while the request was out says nothing of what
 * is there now.  In the settling transaction.
 */
static bool
credentials_replaced(const PcapiBatch *batch)
{
	ListCell   *lc;

	pcapi_target_lock(batch->route->target.dest);
	foreach(lc, pcapi_targets())
	{
		PcapiTarget *now = lfirst(lc);
		char	   *problem = NULL;
		char	   *token;
		bool		replaced;

		if (now->dest != batch->route->target.dest || !now->sendable)
			continue;
		token = read_token(now, &problem);
		if (token == NULL)
			return false;
		replaced = strcmp(token, batch->token) != 0 || strcmp(request_url(batch, now), batch->url) != 0;
		explicit_bzero(token, strlen(token));
		return replaced;
	}
	return false;
}

/*
 * In a transaction, again and again until it is committed.  A destination that
 * is gone has a row that waits for its name to come back, to begin anew.
 */
void
pcapi_batch_settle(void *arg)
{
	PcapiBatch *batch = arg;
	const PcapiTarget *target = &batch->route->target;
	MemoryContext old;
	char	   *problem;

	batch->n_left = pcapi_settle(target->dest, batch->lease, batch->sent_at, batch->settled, batch->n_settled,
								 batch->written, &problem);
	old = MemoryContextSwitchTo(batch->context);
	batch->problem = batch->n_left > 0 && problem ? pstrdup(problem) : NULL;
	MemoryContextSwitchTo(old);

	/* of the destination all has been said when the batch was settled first */
	if (!batch->route->known || batch->state == PCAPI_B_LEFT)
		return;
	if (batch->accepted || batch->recovered)
		pcapi_target_taken(target->dest, batch->life, batch->accepted, batch->recovered);
	if (batch->pause_reason && !credentials_replaced(batch))
		batch->paused = pcapi_target_pause(target->dest, batch->life, target->name, batch->pause_reason);
	else if (batch->backoff_reason)
		pcapi_target_backoff(target->dest, batch->life, batch->backoff_ms, batch->backoff_reason);
	else if (batch->error)
		pcapi_target_error(target->dest, batch->life, batch->error);
}

/*
 * What the settling has written is committed.  Of events that are left, the
 * worker knows what became of them: it holds them, so that they are not sent
 * again, and tries again to write it down.  Under the id of one that is not
 * there any more another event may wait.
 */
bool
pcapi_batch_settled(PcapiBatch *batch)
{
	int			left = 0;

	for (int i = 0; i < batch->n_settled; i++)
	{
		if (batch->written[i] == PCAPI_LEFT)
			batch->settled[left++] = batch->settled[i];
		else if (batch->written[i] == PCAPI_NOT_THERE)
			pcapi_route_release(batch->route, batch->settled[i].id);
	}
	if (left == 0)
		return true;
	batch->state = PCAPI_B_LEFT;
	batch->n = batch->n_settled = left;
	for (int i = 0; i < left; i++)
		batch->ids[i] = batch->settled[i].id;
	qsort(batch->ids, left, sizeof(int64), compare_ids);
	return false;
}

/*
 * What was in a request when the last worker ended may have been processed.
 * It goes again under the same event_id once that is written down, by the same
 * way as an answer: what somebody has locked waits, and keeps nothing else.
 */
int
pcapi_batch_adopt(void)
{
	ListCell   *lc;
	int			n = 0;

	foreach(lc, pcapi_leases())
	{
		const PcapiLease *lease = lfirst(lc);
		PcapiBatch *batch = pcapi_batch_create(pcapi_route_for(lease->dest), 0);
		MemoryContext old = MemoryContextSwitchTo(batch->context);

		batch->state = PCAPI_B_LEFT;
		batch->lease = lease->lease;
		batch->sent_at = lease->taken_at;
		batch->n = batch->n_settled = lease->n;
		batch->ids = palloc(sizeof(int64) * Max(lease->n, 1));
		batch->settled = palloc0(sizeof(PcapiSettled) * Max(lease->n, 1));
		batch->written = palloc0(sizeof(PcapiWritten) * Max(lease->n, 1));
		for (int i = 0; i < lease->n; i++)
		{
			batch->ids[i] = batch->settled[i].id = lease->ids[i];
			batch->settled[i].fate = PCAPI_RETRY;
			batch->settled[i].attempted = true;
			batch->settled[i].warning = PCAPI_WARNING_UNKNOWN;
		}
		n += lease->n;
		MemoryContextSwitchTo(old);
	}
	return n;
}
