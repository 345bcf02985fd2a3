/*
 * slots.h
 *	  The worker's slot: which database it serves, and when it is handed to
 *	  another one.
 */
#ifndef PCAPI_SLOTS_H
#define PCAPI_SLOTS_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"

/* Return the database to serve, at the start of the process. */
extern Oid	pcapi_choose_database(void);

/* Hand the slot to a database that waits for one and exit, if it is time for that. */
extern void pcapi_yield_slot(TimestampTz now);

#endif							/* PCAPI_SLOTS_H */
