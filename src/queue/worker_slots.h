/*
 * worker_slots.h
 *	  Databases that want a worker while no slot is free, as empty files.
 */
#ifndef PCAPI_WORKER_SLOTS_H
#define PCAPI_WORKER_SLOTS_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"

extern void pcapi_turn_ask(Oid database, TimestampTz at);	/* not later than at */
extern void pcapi_turn_put_off(Oid database, TimestampTz at);
extern void pcapi_turn_drop(Oid database);
extern bool pcapi_turn_listed(Oid database);

/* who has waited longest, but for one; InvalidOid: nobody */
extern Oid	pcapi_turn_first(Oid but, TimestampTz now);

/*
 * A slot changes hands: the worker that leaves promises it, what comes up in
 * the slot takes it over.  Slots are told apart by the database they were
 * registered for.  False, or InvalidOid: somebody else was faster, or nothing
 * was promised.
 */
extern bool pcapi_turn_promise(Oid database, Oid slot);
extern Oid	pcapi_turn_take(Oid slot, TimestampTz until);

#endif							/* PCAPI_WORKER_SLOTS_H */
