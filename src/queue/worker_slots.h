/*
 * worker_slots.h
 *	  Databases that want a worker while no slot is free, as empty files.
 */
#ifndef PCAPI_WORKER_SLOTS_H
#define PCAPI_WORKER_SLOTS_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"

extern void pcapi_slot_request(Oid database, TimestampTz at);	/* not later than at */
extern void pcapi_slot_defer(Oid database, TimestampTz at);
extern void pcapi_slot_cancel(Oid database);
extern bool pcapi_slot_is_requested(Oid database);

/* who has waited longest, but for one; InvalidOid: nobody */
extern Oid	pcapi_slot_next_waiting(Oid but, TimestampTz now);

/*
 * A slot changes hands: the worker that leaves promises it, what comes up in
 * the slot takes it over.  Slots are told apart by the database they were
 * registered for.  False, or InvalidOid: somebody else was faster, or nothing
 * was promised.
 */
extern bool pcapi_slot_reserve(Oid database, Oid slot);
extern Oid	pcapi_slot_claim(Oid slot, TimestampTz until);

#endif							/* PCAPI_WORKER_SLOTS_H */
