/*
 * dequeue_new.h
 *	  Events that were never tried, in the order of their ids: most of what the worker ever reads.
 */
#ifndef PCAPI_DEQUEUE_NEW_H
#define PCAPI_DEQUEUE_NEW_H

#include "pinterest_capi.h"

#include "queue/payload.h"

/* dequeue_new.c: never tried ones in id order behind after; no more once the reader is full */
extern int	pcapi_dequeue_new(int dest, int64 after, int limit, PcapiPayloadBudget *reader, PcapiQueuedEvent **events);

#endif							/* PCAPI_DEQUEUE_NEW_H */
