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
	PCAPI_TABLE_DESTINATION,
	PCAPI_TABLE_DESTINATION_STATE,
	PCAPI_TABLE_ALLOWED_EVENT,
	PCAPI_TABLE_CONSENT_RULE,
	PCAPI_TABLE_VISITOR,
	PCAPI_TABLE_SUPPRESSION,
	PCAPI_TABLE_SECRET,
	PCAPI_TABLE_ERASURE,
	PCAPI_TABLE_EVENT_SEQUENCE,
	PCAPI_TABLE_EVENT,
	PCAPI_TABLE_QUEUE,
	PCAPI_TABLE_OUTCOME,
	PCAPI_TABLE_WORKER,
	PCAPI_TABLE_SETTINGS,		/* a view that stands for the tables of settings */
	PCAPI_TABLES
} PcapiTable;

/*
 * Work as the extension's owner in a security-restricted context, so that
 * callers need no right on the tables.  cold: also pins search_path, for
 * statements that are not qualified down to their operators.
 */
typedef struct PcapiUserContext
{
	Oid			user;
	int			sec_context;
	int			guc_level;		/* 0: search_path not touched */
	ErrorContextCallback errors;	/* meanwhile, no error logs the statement */
} PcapiUserContext;

extern Oid	pcapi_extension_owner(bool missing_ok); /* needs a transaction */
extern Oid	pcapi_table(PcapiTable table);
extern void pcapi_table_relcache_changed(Oid relid);
extern void pcapi_table_catalog_changed(void);

/* false: statements as the owner may fail for want of a right; cheap, kept until something changes */
extern bool pcapi_owner_has_rights(Oid owner);

/* Another one after any change of the table's definition that this session has heard of. */
extern uint32 pcapi_table_version(PcapiTable table);
extern void pcapi_switch_to_owner(PcapiUserContext *saved, bool pin_search_path);
extern void pcapi_restore_user(const PcapiUserContext *saved);	/* after an ERROR the transaction's abort does it */
extern void pcapi_check_writable(const char *function); /* the server's own error, without the statement */

#endif							/* PCAPI_EXTENSION_H */
