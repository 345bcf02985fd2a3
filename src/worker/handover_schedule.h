/*
 * handover_schedule.h
 *	  Once a second, in a published database: what has the dispatcher got?
 */
#ifndef PCAPI_HANDOVER_SCHEDULE_H
#define PCAPI_HANDOVER_SCHEDULE_H

#include "pinterest_capi.h"

extern void pcapi_handover(void);	/* where another server sends */

#endif							/* PCAPI_HANDOVER_SCHEDULE_H */
