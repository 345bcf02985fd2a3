/*
 * extension.h
 *	  Where the extension's tables are, and as whom they are touched.
 */
#ifndef PCAPI_EXTENSION_H
#define PCAPI_EXTENSION_H

#include "pinterest_capi.h"

/* the extension's tables; InvalidOid once the extension is gone */
typedef enum PcapiTable
{
	PCAPI_T_DESTINATION,
	PCAPI_T_DESTINATION_STATE,
	PCAPI_T_ALLOWED_EVENT,
	PCAPI_T_CONSENT_RULE,
	PCAPI_T_VISITOR,
	PCAPI_T_SUPPRESSION,
	PCAPI_T_SECRET,
	PCAPI_T_ERASURE,
	PCAPI_T_EVENT_SEQUENCE,
	PCAPI_T_EVENT,
	PCAPI_T_QUEUE,
	PCAPI_T_OUTCOME,
	PCAPI_T_WORKER,
	PCAPI_T_SETTINGS,			/* a view that stands for the tables of settings */
	PCAPI_TABLES
} PcapiTable;

/*
 * Work as the extension's owner in a security-restricted context, so that
 * callers need no right on the tables.  cold: also pins search_path, for
 * statements that are not qualified down to their operators.
 */
typedef struct PcapiIdentity
{
	Oid			user;
	int			sec_context;
	int			guc_level;		/* 0: search_path not touched */
	ErrorContextCallback errors;	/* meanwhile, no error logs the statement */
} PcapiIdentity;

extern Oid	pcapi_extension_owner(bool missing_ok); /* needs a transaction */
extern Oid	pcapi_table(PcapiTable table);
extern void pcapi_table_relcache_changed(Oid relid);
extern void pcapi_table_catalog_changed(void);

/* false: statements as the owner may fail for want of a right; cheap, kept until something changes */
extern bool pcapi_owner_has_rights(Oid owner);

/* Another one after any change of the table's definition that this session has heard of. */
extern uint32 pcapi_table_version(PcapiTable table);
extern void pcapi_become_owner(PcapiIdentity *saved, bool pin_search_path);
extern void pcapi_become_caller(const PcapiIdentity *saved);	/* after an ERROR the transaction's abort does it */
extern void pcapi_check_writable(const char *function); /* the server's own error, without the statement */

#endif							/* PCAPI_EXTENSION_H */
