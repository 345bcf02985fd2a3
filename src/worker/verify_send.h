/*
 * verify_send.h
 *	  The worker's side of verify_destination: send one test event, and
 *	  answer with the API's verdict as a sentence.
 */
#ifndef PCAPI_VERIFY_SEND_H
#define PCAPI_VERIFY_SEND_H

#include "pinterest_capi.h"

/* Return whether a session asks for a verification. */
extern bool pcapi_verify_asked(void);

/* Start the verification that a session asks for, if one does.  The senders are loaded; no transaction is open. */
extern void pcapi_verify_start(void);

#endif							/* PCAPI_VERIFY_SEND_H */
