/*
 * worker_slots.h
 *	  The queue of databases that wait for a background worker slot, as empty files.
 */
#ifndef PCAPI_WORKER_SLOTS_H
#define PCAPI_WORKER_SLOTS_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"

/*
 * A database that has no worker, and finds no free slot, requests one.  A worker that
 * ends gives its slot to the database that has waited longest: it reserves the slot,
 * and the process that the postmaster starts in it next serves that database.  A slot
 * is known by the database that its background worker was registered for.
 *
 *	(no file)
 *	   |  request
 *	   v
 *	pinterest_capi.DATABASE			requested; due at the file's time
 *	   |  ^    |  ^
 *	   |  |    |  +-- defer: the worker that serves it, periodically; request: makes it
 *	   |  |    |      due earlier
 *	   |  |    +----- cancel: (no file)
 *	   |  |
 *	   |  reserve
 *	   |  v
 *	   |  pinterest_capi.DATABASE.SLOT	reserved since the file's time
 *	   |    |  next_waiting: after 10 s without a process, back to requested
 *	   |    |  claim: by the process that comes up in the slot, back to requested,
 *	   |    |         due when that process is missed
 */

/* Request a worker for a database, due no later than at. */
extern void pcapi_slot_request(Oid database, TimestampTz at);

/* Make a database's request due at a time. */
extern void pcapi_slot_defer(Oid database, TimestampTz at);

/* Delete a database's request. */
extern void pcapi_slot_cancel(Oid database);
extern bool pcapi_slot_is_requested(Oid database);

/* Return the database whose request has been due longest, except one.  InvalidOid: there is none. */
extern Oid	pcapi_slot_next_waiting(Oid but, TimestampTz now);

/* Reserve a slot for a database.  False: another process was faster. */
extern bool pcapi_slot_reserve(Oid database, Oid slot);

/* Return the database for which a slot is reserved, and defer its request.  InvalidOid: there is none. */
extern Oid	pcapi_slot_claim(Oid slot, TimestampTz until);

#endif							/* PCAPI_WORKER_SLOTS_H */
