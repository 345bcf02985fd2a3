/*
 * slots.c
 *	  The worker's slot: which database it serves, and when it is handed to
 *	  another one.
 *
 * A slot is one of max_worker_processes, with the registration of a background
 * worker.  Its processes come one after the other; each serves one database.
 * The slot is named after the database that it was registered for
 * (pcapi_slot_database), whichever it serves.
 *
 *    registered for A      by a session, the launcher or a worker
 *        |
 *        v                 pcapi_choose_database()
 *    serves A <----------------------------------------------------+
 *        |                 pcapi_yield_slot(), where no slot is    |
 *        |                 free and B requests one: once idle for  |
 *        |                 SLOT_MIN_IDLE, or busy for              |
 *        v                 SLOT_MAX_BUSY and then drained          |
 *    hands over the slot   reserves it for B; requests one for A,  |
 *        |                 for when A's next event is due          |
 *        v                                                         |
 *    exits with 1          the postmaster starts the slot's next   |
 *        |                 process a second later                  |
 *        v                 pcapi_choose_database()                 |
 *    serves B -- likewise, to A or to another database ------------+
 *
 *    any state -- no worker is needed --> exits with 0: the slot is free
 *
 * The states of a request (waiting, reserved, served) are files: see
 * src/queue/worker_slots.c.
 *
 * Left to others: the list of databases that wait (src/queue/worker_slots.c),
 * registrations (src/queue/worker_start.c), the exit (xact.c).
 */
#include "pinterest_capi.h"

#include "miscadmin.h"
#include "queue/worker_slots.h"
#include "queue/worker_start.h"
#include "utils/timestamp.h"
#include "worker/dispatch.h"
#include "worker/slots.h"
#include "worker/xact.h"

/* While another database waits for a slot: an idle worker keeps its own so long, and a busy one. */
#define SLOT_MIN_IDLE		1000	/* ms */
#define SLOT_MAX_BUSY		30000	/* ms */

/* A database that handed over its slot returns after this at the latest. */
#define SLOT_RETURN_AFTER	(60 * USECS_PER_SEC)

/* A worker that serves a database on the list defers its request by so much, again and again. */
#define SLOT_HEARTBEAT		(10 * USECS_PER_SEC)

static Oid	find_waiting_database(TimestampTz now);

/*
 * The slot may be reserved for a database.  Else it is for the one that it was
 * registered for.  If that one is on the list, another database may have waited
 * longer.
 */
Oid
pcapi_choose_database(void)
{
	TimestampTz now = GetCurrentTimestamp();
	Oid			database = pcapi_slot_claim(pcapi_slot_database, now + SLOT_HEARTBEAT);

	if (OidIsValid(database))
	{
		elog(DEBUG1, "pinterest_capi worker of database %u takes over the slot of database %u", database, pcapi_slot_database);
		return database;
	}
	if (!pcapi_slot_is_requested(pcapi_slot_database))
		return pcapi_slot_database;
	database = pcapi_slot_next_waiting(InvalidOid, now);
	if (!OidIsValid(database))
		database = pcapi_slot_database;
	pcapi_slot_defer(database, now + SLOT_HEARTBEAT);
	return database;
}

/*
 * An idle worker hands over its slot at once, a busy one after a while, once
 * its requests have ended.  Its database requests a slot for when its next
 * event is due.  SLOT_RETURN_AFTER is for events that nothing tells of (prepared
 * transactions), and for sessions that commit while this process exits and set
 * its latch.
 */
void
pcapi_yield_slot(TimestampTz now)
{
	Oid			next;
	TimestampTz due;
	TimestampTz return_at;
	int64		served_ms = pcapi_clock_ms() - pcapi_serving_since;
	bool		idle;

	if (pcapi_slot_is_requested(MyDatabaseId))
		pcapi_slot_defer(MyDatabaseId, now + SLOT_HEARTBEAT);
	next = find_waiting_database(now);
	if (!OidIsValid(next))
	{
		pcapi_dispatch_drain(false);
		return;
	}
	idle = pcapi_dispatch_is_idle(&due);
	if (idle && due > now + SLOT_MIN_IDLE * 1000 && served_ms >= SLOT_MIN_IDLE)
		return_at = Min(due, now + SLOT_RETURN_AFTER);
	else if (served_ms >= SLOT_MAX_BUSY)
	{
		pcapi_dispatch_drain(true);
		return_at = now;
	}
	else
		return;
	if (!idle || !pcapi_hand_over_slot(next))
		return;
	pcapi_slot_request(MyDatabaseId, return_at);
	pcapi_slot_defer(MyDatabaseId, return_at);
	pcapi_exit_worker(1, "another database waits for the slot");
}

/*
 * Return the database that has waited longest for a slot, or InvalidOid.  If a
 * slot is free, it gets that one, and nothing is to hand over.
 */
static Oid
find_waiting_database(TimestampTz now)
{
	Oid			database = pcapi_slot_next_waiting(MyDatabaseId, now);

	if (OidIsValid(database) && pcapi_start_worker(database, InvalidTransactionId, false, NULL))
	{
		pcapi_slot_cancel(database);
		return InvalidOid;
	}
	return database;
}
