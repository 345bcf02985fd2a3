/*
 * destination_admin.h
 *	  Pause, resume and drop a destination.
 */
#ifndef PCAPI_DESTINATION_ADMIN_H
#define PCAPI_DESTINATION_ADMIN_H

#include "pinterest_capi.h"

/* Raise the error that there is no such destination. */
PcapiNoReturn extern void pcapi_unknown_destination(void);

/* Raise it unless the destination exists; NULL: it does not. */
extern void pcapi_check_destination(const char *destination);

/* Likewise, and return its number, which is made if there is none yet. */
extern int	pcapi_require_destination(const char *destination);

/* Declare that this server sends, and notify the caller if it is held for another reason. */
extern void pcapi_claim_server(void);

#endif							/* PCAPI_DESTINATION_ADMIN_H */
