/*
 * xact.h
 *	  The worker's transactions, and its exit.
 */
#ifndef PCAPI_XACT_H
#define PCAPI_XACT_H

#include "pinterest_capi.h"

#include "queue/worker_state.h"

/* The process. */
extern Oid	pcapi_slot_database;	/* the database that the process's slot was registered for */
extern Oid	pcapi_served_database;
extern Oid	pcapi_served_extension; /* whose events are in memory; set by the first transaction */
extern int64 pcapi_serving_since;	/* of pcapi_clock_ms() */
extern PcapiWorkerState *pcapi_worker_state;

/*
 * A subscription writes the tables, or has done so since this process started:
 * the process sends nothing and writes nothing.  Once there is none any more,
 * the process exits, and the next one begins with leases and sequences.
 */
extern bool pcapi_replicates;

typedef void (*PcapiWork) (void *arg);

/*
 * Run work(arg) in a transaction of its own, as the extension's owner.  Return
 * false when it failed: the error is logged, shown in worker_status and rolled
 * back.  Exit where the extension was dropped.
 */
extern bool pcapi_transaction(PcapiWork work, void *arg);

/*
 * Likewise, with one snapshot for all statements (REPEATABLE READ).  The commit waits
 * for no disk: a crash may undo the transaction.
 */
extern bool pcapi_snapshot_transaction(PcapiWork work, void *arg);

/* Reserve the process's slot for a database that waits for one.  Return false where another worker was faster. */
extern bool pcapi_hand_over_slot(Oid database);

/* Exit, with the reason in a DEBUG1 message.  With code 1 the postmaster starts the process again. */
PcapiNoReturn extern void pcapi_exit_worker(int code, const char *reason);

/* Exit where no worker is needed, or another one serves the database (served). */
PcapiNoReturn extern void pcapi_exit_unneeded(bool served, const char *reason);

/* Exit where the extension whose events are in memory was dropped. */
PcapiNoReturn extern void pcapi_exit_dropped(void);

#endif							/* PCAPI_XACT_H */
