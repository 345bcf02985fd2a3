/*
 * lease.h
 *	  Leases: which events are in a request, written down before it leaves.
 */
#ifndef PCAPI_LEASE_H
#define PCAPI_LEASE_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

/* a request of a worker that is gone; ids are those that still wait, sorted */
typedef struct PcapiLease
{
	int64		lease;
	int			dest;
	TimestampTz taken_at;
	int64	   *ids;
	int			n;
} PcapiLease;

extern int64 pcapi_lease(int dest, const int64 *ids, int n);
extern List *pcapi_leases(void);	/* in the current memory context */

#endif							/* PCAPI_LEASE_H */
