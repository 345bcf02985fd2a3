/*
 * sequence.h
 *	  Advance sequences that logical replication has left behind.
 */
#ifndef PCAPI_SEQUENCE_H
#define PCAPI_SEQUENCE_H

#include "pinterest_capi.h"

/* Advance all sequences beyond the numbers in their tables.  At the worker's start. */
extern void pcapi_sequences_advance(void);

/* Advance the sequence of ids beyond the id of an event that arrived.  In a replication worker. */
extern void pcapi_sequence_pass(int64 id);

#endif							/* PCAPI_SEQUENCE_H */
