/*
 * verify_send.h
 *	  The worker's side of verify_destination: one event in test mode, and the API's verdict on it as a sentence.
 */
#ifndef PCAPI_VERIFY_SEND_H
#define PCAPI_VERIFY_SEND_H

#include "pinterest_capi.h"

extern void pcapi_verify_take(void);	/* a session's question, if there is one; senders are loaded */
extern bool pcapi_verify_asked(void);

#endif							/* PCAPI_VERIFY_SEND_H */
