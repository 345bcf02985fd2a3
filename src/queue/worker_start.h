/*
 * worker_start.h
 *	  Start a database's worker if none runs.
 */
#ifndef PCAPI_WORKER_START_H
#define PCAPI_WORKER_START_H

#include "pinterest_capi.h"

#include "access/transam.h"
#include "postmaster/bgworker.h"

/* the transaction that registered a worker, in bgw_extra */
typedef struct PcapiStarter
{
	TransactionId xid;			/* invalid: the worker waits for none */
	int			pid;
	int			procno;
} PcapiStarter;

/* ms between two starts by one session: a worker needs a moment before it is visible */
#define PCAPI_START_GAP_MS	5000

/* Wait for the end of the transaction that registered this worker.  In the worker's first transaction. */
extern void pcapi_await_starter(const char *extra);

/* Register a worker for a database.  tell: notify this process of its start and end.  False: there is no free slot. */
extern bool pcapi_start_worker(Oid database, TransactionId wait_for, bool tell,
							   BackgroundWorkerHandle **handle);

/*
 * Start a worker for this database, which waits for the end of a transaction first,
 * unless one runs or is starting.  True: the current transaction has taken the start
 * lock.
 */
extern bool pcapi_start_worker_if_none(TransactionId wait_for);

#endif							/* PCAPI_WORKER_START_H */
