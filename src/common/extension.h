/*
 * extension.h
 *	  Find the extension's tables, and act as their owner.
 */
#ifndef PCAPI_EXTENSION_H
#define PCAPI_EXTENSION_H

#include "pinterest_capi.h"

/* the extension's relations that C code looks up */
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
	PCAPI_TABLE_RETRY,
	PCAPI_TABLE_OUTCOME,
	PCAPI_TABLE_WORKER,
	PCAPI_TABLE_STATISTICS,
	PCAPI_TABLE_SETTINGS,		/* a view that stands for the tables of settings */
	PCAPI_TABLES
} PcapiTable;

/*
 * The caller's user and settings while a function acts as the extension's owner in
 * a security-restricted context, so that callers need no right on the tables.
 */
typedef struct PcapiUserContext
{
	Oid			user;
	int			sec_context;
	int			guc_level;		/* 0: search_path is as it was */
	ErrorContextCallback errors;	/* meanwhile, no error logs the statement */
} PcapiUserContext;

/* ---- tables ---- */

/* Return a table's OID, or InvalidOid once the extension is dropped. */
extern Oid	pcapi_table(PcapiTable table);

/* Return a number that changes with each change of the table's definition that this session hears of. */
extern uint32 pcapi_table_version(PcapiTable table);

/* Invalidation callbacks: of relation relid (or of all), of a schema or function. */
extern void pcapi_table_relcache_changed(Oid relid);
extern void pcapi_table_catalog_changed(void);

/* ---- their owner ---- */

/* Return the owner of the tables.  Needs a transaction. */
extern Oid	pcapi_extension_owner(bool missing_ok);

/* False: statements as the owner may fail for lack of a right.  Cheap: the answer is kept until something changes. */
extern bool pcapi_owner_has_rights(Oid owner);

/*
 * Act as the owner, until pcapi_restore_user(); after an ERROR the transaction's
 * abort restores the user.  pin_search_path: for statements that are not qualified
 * down to their operators.
 */
extern void pcapi_switch_to_owner(PcapiUserContext *saved, bool pin_search_path);
extern void pcapi_restore_user(const PcapiUserContext *saved);

/* Raise the server's own error in a read-only transaction, without the statement. */
extern void pcapi_check_writable(const char *function);

#endif							/* PCAPI_EXTENSION_H */
