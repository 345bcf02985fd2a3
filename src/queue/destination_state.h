/*
 * destination_state.h
 *	  The state of a destination: its number, pause, backoff and last error.
 */
#ifndef PCAPI_DESTINATION_STATE_H
#define PCAPI_DESTINATION_STATE_H

#include "pinterest_capi.h"

/*
 * The states of a destination, by the columns of its row in _destination_state.
 * Requests start in the state "ready" alone, and events are queued in all states.
 *
 *	             the first event, allow_event, configure_destination
 *	(no row) --------------------------------------------------------> ready
 *
 *	             429, 5xx, no connection, no response
 *	ready -----------------------------------------------------------> backing off
 *	      <-----------------------------------------------------------   (backoff_until, backoff_reason)
 *	             the time is over, an answer of the API, another api_url
 *
 *	             pause_destination, a refused token
 *	ready -----------------------------------------------------------> paused
 *	      <-----------------------------------------------------------   (paused_at, paused_reason)
 *	             resume_destination, configure_destination
 *
 *	             drop_destination, in any state
 *	ready -----------------------------------------------------------> dropped
 *	      <-----------------------------------------------------------   (dropped_at; life + 1)
 *	             configure_destination
 *
 * The end of a backoff is a time that passes, so backoff_until stays when it is over.
 * failing_since is when the first of the failures in a row happened; an answer of the
 * API, also one that refuses events, clears it with the backoff.  The statuses "disabled"
 * and "not ready" of destination_status are no states of this row: they depend on the
 * destination's settings, its token, and hold.h.
 */

/* ---- its number ---- */

/* Return a destination's number, or 0.  create: make one if there is none yet.  As the extension's owner. */
extern int	pcapi_destination_number(const char *destination, bool create);

/*
 * Lock the state's row.  Settings and token that are read afterwards don't change until
 * the transaction's end: configure_destination changes this row last.
 */
extern void pcapi_destination_lock(int dest);

/*
 * ---- what the worker writes ----
 *
 * A destination that was dropped and configured again keeps its number and has
 * another life, and a response to a request of the life before changes nothing.
 */

/* It has answered a request.  sent: events were processed.  recovered: it works again, which ends failing and backoff. */
extern void pcapi_destination_taken(int dest, int life, bool sent, bool recovered, int64 done_below);

/*
 * Each event of it with an id up to this has an outcome or a row in _retry.  It is not written while another
 * transaction has locked the state.
 */
extern void pcapi_destination_done(int dest, int life, int64 done_below);

/* Ids are drawn from the start again, in a log that was emptied: nothing is done. */
extern void pcapi_destinations_restart(void);

/* So many events have just become sent and failed; for destination_status. */
extern void pcapi_destination_count(int dest, int life, int sent, int failed);

/* It has failed.  Requests wait for delay_ms, or until an earlier backoff ends if that is later. */
extern void pcapi_destination_backoff(int dest, int life, int64 delay_ms, const char *reason);

/* An event of it has failed; the destination goes on. */
extern void pcapi_destination_error(int dest, int life, const char *error);

/* Pause it, and notify listeners.  False: it is paused already, so that one log line is enough. */
extern bool pcapi_destination_pause(int dest, int life, const char *name, const char *reason);

/* ---- what sessions write ---- */

/* End pause and backoff, make the destination's number, wake the worker at COMMIT; notify listeners if it was paused. */
extern void pcapi_unpause(const char *destination);

/* End a backoff alone: a pause stays. */
extern void pcapi_end_backoff(const char *destination);

/* Send NOTIFY pinterest_capi at the commit of the current transaction. */
extern void pcapi_notify(const char *destination, const char *status, const char *message);

#endif							/* PCAPI_DESTINATION_STATE_H */
