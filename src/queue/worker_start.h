/*
 * worker_start.h
 *	  Start a database's worker where none runs.
 */
#ifndef PCAPI_WORKER_START_H
#define PCAPI_WORKER_START_H

#include "pinterest_capi.h"

#include "access/transam.h"
#include "postmaster/bgworker.h"

/* who has a worker started: what is in bgw_extra */
typedef struct PcapiStarter
{
	TransactionId xid;			/* invalid: there is nothing to wait for */
	int			pid;
	int			procno;
} PcapiStarter;

/* Between two starts by one session, in ms: a worker needs a moment before it can be seen. */
#define PCAPI_START_GAP_MS	5000

/* in the worker's first transaction: wait for the end of the transaction that had it started */
extern void pcapi_await_starter(const char *extra);

/* a dynamic worker for a database; false when there is no slot */
extern bool pcapi_start_worker(Oid database, TransactionId wait_for, bool tell,
							   BackgroundWorkerHandle **handle);

/*
 * Start a worker, which waits for the end of a transaction first, unless one runs or is on its
 * way.  True: the start lock is taken, by the current transaction.
 */
extern bool pcapi_start_worker_if_none(TransactionId wait_for);

#endif							/* PCAPI_WORKER_START_H */
