/*
 * handover_schedule.h
 *	  Once a second, in a published database: end the events that the
 *	  dispatcher has received.
 */
#ifndef PCAPI_HANDOVER_SCHEDULE_H
#define PCAPI_HANDOVER_SCHEDULE_H

#include "pinterest_capi.h"

/* Hand over the next events to the server that sends them. */
extern void pcapi_continue_handover(void);

#endif							/* PCAPI_HANDOVER_SCHEDULE_H */
