/*
 * destination_admin.h
 *	  pause, resume and drop a destination; cancel and purge events.
 */
#ifndef PCAPI_DESTINATION_ADMIN_H
#define PCAPI_DESTINATION_ADMIN_H

#include "pinterest_capi.h"

/* ERROR 22023 unless the destination exists; NULL is none; its number, made when there is none yet */
PcapiNoReturn extern void pcapi_unknown_destination(void);
extern void pcapi_check_destination(const char *destination);
extern int	pcapi_require_destination(const char *destination);

/* this server is the one that sends, says who calls; tells him of what holds it all the same */
extern void pcapi_claim_server(void);

#endif							/* PCAPI_DESTINATION_ADMIN_H */
