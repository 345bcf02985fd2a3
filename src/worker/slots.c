/*
 * slots.c
 *	  Databases that share too few worker slots take turns.
 *
 * Who waits for a slot stands in src/queue/worker_slots.c.
 */
#include "pinterest_capi.h"

#include "queue/worker_slots.h"
#include "queue/worker_start.h"
#include "utils/timestamp.h"
#include "worker/dispatch.h"
#include "worker/slots.h"
#include "worker/xact.h"

/* where another database waits for a slot */
#define SLOT_MIN_IDLE		1000	/* ms, as the next one */
#define SLOT_MAX_BUSY		30000
#define SLOT_RETURN_AFTER		(60 * USECS_PER_SEC)
#define SLOT_HEARTBEAT	(10 * USECS_PER_SEC)

/* Whom to serve: whom the slot was registered for, unless it was given up for others. */
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
 * Where another database waits and no slot is free, this one's is given up: at
 * once if nothing is to do, after a while in any case.  What has not been sent
 * is this database's reason to come back, when it is due; the rest is for what
 * nobody tells of, and for who commits while the process leaves.
 */
void
pcapi_share_slot(TimestampTz now)
{
	Oid			next;
	TimestampTz due;
	TimestampTz back;
	int64		stayed = pcapi_clock_ms() - pcapi_serving_since;
	bool		rests;

	if (pcapi_slot_is_requested(MyDatabaseId))
		pcapi_slot_defer(MyDatabaseId, now + SLOT_HEARTBEAT);
	next = pcapi_slot_next_waiting(MyDatabaseId, now);
	if (OidIsValid(next) && pcapi_start_worker(next, InvalidTransactionId, false, NULL))
	{
		pcapi_slot_cancel(next);
		next = InvalidOid;
	}
	if (!OidIsValid(next))
	{
		pcapi_dispatch_hold(false);
		return;
	}
	rests = pcapi_dispatch_is_idle(&due);
	if (rests && due > now + SLOT_MIN_IDLE * 1000 && stayed >= SLOT_MIN_IDLE)
		back = Min(due, now + SLOT_RETURN_AFTER);
	else if (stayed >= SLOT_MAX_BUSY)
	{
		pcapi_dispatch_hold(true);
		back = now;
	}
	else
		return;
	if (!rests || !pcapi_hand_slot(next))
		return;
	pcapi_slot_request(MyDatabaseId, back);
	pcapi_slot_defer(MyDatabaseId, back);
	pcapi_exit_worker(1, "another database waits for the slot");
}
