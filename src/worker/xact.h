/*
 * xact.h
 *	  The worker's transactions, and its exit.
 */
#ifndef PCAPI_XACT_H
#define PCAPI_XACT_H

#include "pinterest_capi.h"

#include "queue/worker_state.h"

typedef void (*PcapiWork) (void *arg);

extern PcapiWorkerState *pcapi_worker_state;

/*
 * A subscription writes the tables, or has done so since this process started:
 * it sends nothing and writes nothing.  Once there is none any more, the
 * process exits, and the next one begins with leases and sequences.
 */
extern bool pcapi_replicates;

/*
 * In a transaction of its own, as the extension's owner; false when it failed,
 * which has been logged, shown in worker_status and rolled back.
 */
extern bool pcapi_transaction(PcapiWork work, void *arg);
extern Oid	pcapi_slot_database;	/* for which the process's slot was registered */
extern Oid	pcapi_served_database;
extern Oid	pcapi_served_extension; /* whose events the worker knows; set by its first transaction */
extern int64 pcapi_serving_since;	/* of pcapi_clock_ms() */

/* Exit, with the reason in a DEBUG1 message.  Code 1: the postmaster starts the process again. */
PcapiNoReturn extern void pcapi_exit_worker(int code, const char *reason);

/* Exit where no worker is needed, or one is there already (served); another database may take the slot. */
PcapiNoReturn extern void pcapi_exit_unneeded(bool served, const char *reason);

/* Exit since the extension that the worker knows was dropped. */
PcapiNoReturn extern void pcapi_exit_dropped(void);

/* Promise the process's slot to a database that waits for one; false: another worker was faster. */
extern bool pcapi_hand_slot(Oid database);

#endif							/* PCAPI_XACT_H */
