/*
 * erasure_schedule.h
 *	  Once a second: is there anything of people who were forgotten that forget() could not see?
 */
#ifndef PCAPI_ERASURE_SCHEDULE_H
#define PCAPI_ERASURE_SCHEDULE_H

#include "pinterest_capi.h"

extern void pcapi_continue_erasures(int64 now); /* what forget() could not see */

#endif							/* PCAPI_ERASURE_SCHEDULE_H */
