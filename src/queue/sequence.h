/*
 * sequence.h
 *	  Sequences that logical replication has left behind.
 */
#ifndef PCAPI_SEQUENCE_H
#define PCAPI_SEQUENCE_H

#include "pinterest_capi.h"

/* At the worker's start: no sequence draws a number that is in its table already. */
extern void pcapi_sequences_advance(void);

/* In a replication worker: an event came with this id. */
extern void pcapi_sequence_pass(int64 id);

#endif							/* PCAPI_SEQUENCE_H */
