/*
 * destination_state.h
 *	  The state of a destination: its number, pause, backoff and last error.
 */
#ifndef PCAPI_DESTINATION_STATE_H
#define PCAPI_DESTINATION_STATE_H

#include "pinterest_capi.h"

/* what a destination's last request says of it, unless it was dropped since and is another one (life) */
extern void pcapi_destination_lock(int dest);
extern void pcapi_destination_taken(int dest, int life, bool sent, bool recovered);
extern void pcapi_destination_backoff(int dest, int life, int64 delay_ms, const char *reason);
extern bool pcapi_destination_pause(int dest, int life, const char *name, const char *reason);
extern void pcapi_destination_error(int dest, int life, const char *error);
extern void pcapi_notify(const char *destination, const char *status, const char *message);

/* ends pause and backoff, makes the destination's number, wakes the worker; tells listeners if it was paused */
extern void pcapi_unpause(const char *destination);

/* ends a backoff alone: whatever is paused stays so */
extern void pcapi_end_backoff(const char *destination);

/* the destination's number, made when it has none yet; as owner */
extern int	pcapi_destination_number(const char *destination, bool create);

#endif							/* PCAPI_DESTINATION_STATE_H */
