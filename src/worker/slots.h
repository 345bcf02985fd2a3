/*
 * slots.h
 *	  Databases that share too few worker slots take turns.
 */
#ifndef PCAPI_SLOTS_H
#define PCAPI_SLOTS_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"

/* Return the database to serve, when the process starts. */
extern Oid	pcapi_choose_database(void);

/* Give the slot to a database that waits for one, if it is time for that: then it does not return. */
extern void pcapi_share_slot(TimestampTz now);

#endif							/* PCAPI_SLOTS_H */
