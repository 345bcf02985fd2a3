/*
 * guc.h
 *	  The settings in postgresql.conf: their definitions, checks and values.
 */
#ifndef PCAPI_GUC_H
#define PCAPI_GUC_H

#include "pinterest_capi.h"

/* the settings of the same names; guc.c describes each */
extern bool pcapi_dispatch;
extern int	pcapi_max_concurrent_requests;
extern int	pcapi_request_timeout;	/* s */
extern int	pcapi_connect_timeout;	/* s */
extern char *pcapi_retention;
extern char *pcapi_payload_retention;
extern char *pcapi_click_id_retention;
extern char *pcapi_statistics_retention;
extern char *pcapi_ca_file;
extern char *pcapi_proxy;
extern char *pcapi_senders;
extern bool pcapi_log_suppressed;

extern bool pcapi_preloaded;	/* whether shared_preload_libraries loaded the library */

/* Define the settings.  Called once, when the library is loaded. */
extern void pcapi_define_settings(void);

#endif							/* PCAPI_GUC_H */
