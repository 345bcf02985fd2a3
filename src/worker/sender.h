/*
 * sender.h
 *	  Destinations as the worker sees them: what may be sent when, and what is taken next.
 */
#ifndef PCAPI_SENDER_H
#define PCAPI_SENDER_H

#include "pinterest_capi.h"

#include "datatype/timestamp.h"
#include "lib/ilist.h"
#include "worker/sending.h"

extern dlist_head pcapi_sender_list;

/* in a transaction; the configs as they are now */
extern void pcapi_senders_load(void);
extern void pcapi_senders_commit(void);
extern void pcapi_senders_rollback(void);
extern void pcapi_senders_clock_back(void);
extern PcapiSender *pcapi_sender_by_name(const char *destination);
extern PcapiSender *pcapi_sender_for(int dest); /* made, as one that is gone, if there is none */

/* when the next request may start; DT_NOEND: not by time alone */
extern TimestampTz pcapi_sender_next_start(PcapiSender *sender, TimestampTz now);
extern void pcapi_sender_requeue(PcapiSender *sender, int64 id);	/* to be read again */

#endif							/* PCAPI_SENDER_H */
