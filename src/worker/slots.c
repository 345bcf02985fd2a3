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
#define STAY_IDLE		1000	/* ms, as the next one */
#define STAY_BUSY		30000
#define BACK_WITHIN		(60 * USECS_PER_SEC)
#define MISSED_AFTER	(10 * USECS_PER_SEC)

/* Whom to serve: whom the slot was registered for, unless it was given up for others. */
Oid
pcapi_choose_database(void)
{
	TimestampTz now = GetCurrentTimestamp();
	Oid			database = pcapi_turn_take(pcapi_slot_database, now + MISSED_AFTER);

	if (OidIsValid(database))
	{
		elog(DEBUG1, "pinterest_capi worker of database %u takes over the slot of database %u", database, pcapi_slot_database);
		return database;
	}
	if (!pcapi_turn_listed(pcapi_slot_database))
		return pcapi_slot_database;
	database = pcapi_turn_first(InvalidOid, now);
	if (!OidIsValid(database))
		database = pcapi_slot_database;
	pcapi_turn_put_off(database, now + MISSED_AFTER);
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

	if (pcapi_turn_listed(MyDatabaseId))
		pcapi_turn_put_off(MyDatabaseId, now + MISSED_AFTER);
	next = pcapi_turn_first(MyDatabaseId, now);
	if (OidIsValid(next) && pcapi_start_worker(next, InvalidTransactionId, false, NULL))
	{
		pcapi_turn_drop(next);
		next = InvalidOid;
	}
	if (!OidIsValid(next))
	{
		pcapi_dispatch_hold(false);
		return;
	}
	rests = pcapi_dispatch_rests(&due);
	if (rests && due > now + STAY_IDLE * 1000 && stayed >= STAY_IDLE)
		back = Min(due, now + BACK_WITHIN);
	else if (stayed >= STAY_BUSY)
	{
		pcapi_dispatch_hold(true);
		back = now;
	}
	else
		return;
	if (!rests || !pcapi_hand_slot(next))
		return;
	pcapi_turn_ask(MyDatabaseId, back);
	pcapi_turn_put_off(MyDatabaseId, back);
	pcapi_exit_worker(1, "another database waits for the slot");
}
