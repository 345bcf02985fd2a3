/*
 * apply.h
 *	  Rows of other servers: who brings them, and whether they may be taken.
 */
#ifndef PCAPI_APPLY_H
#define PCAPI_APPLY_H

/* Does the apply worker of a subscription to a publisher of ours run this? */
extern bool pcapi_is_from_publisher(void);

/* Raise an error in a copy of a dispatcher, before anything is confirmed. */
extern void pcapi_check_not_a_copy(void);

#endif							/* PCAPI_APPLY_H */
