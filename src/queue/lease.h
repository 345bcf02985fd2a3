/*
 * lease.h
 *	  Write leases: which events are in a request, before it starts.
 */
#ifndef PCAPI_LEASE_H
#define PCAPI_LEASE_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

/* the lease of a request */
typedef struct PcapiLease
{
	int64		lease;
	int			dest;
	TimestampTz taken_at;
	int64	   *ids;			/* n events that still wait, sorted */
	int			n;
} PcapiLease;

/* Write a lease, in a transaction that the caller commits before the request.  Return its number. */
extern int64 pcapi_lease(int dest, const int64 *ids, int n);

/* Return all leases, also those of whose events none waits, in the current memory context. */
extern List *pcapi_leases(void);

#endif							/* PCAPI_LEASE_H */
