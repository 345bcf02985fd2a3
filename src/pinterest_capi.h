/*
 * pinterest_capi.h
 *	  What all parts in PostgreSQL share: settings, rights, small helpers.
 */
#ifndef PINTEREST_CAPI_H
#define PINTEREST_CAPI_H

#include "postgres.h"

#include "compat.h"
#include "portability/instr_time.h"

#define PCAPI_SCHEMA "pinterest_capi"
#define PCAPI_VERSION "1.0"		/* the extension's that this library goes with */

/* postgresql.conf, see pinterest_capi.c */
extern bool pcapi_dispatch;
extern int	pcapi_max_concurrent_requests;
extern int	pcapi_request_timeout;	/* s */
extern int	pcapi_connect_timeout;	/* s */
extern char *pcapi_retention;
extern char *pcapi_payload_retention;
extern char *pcapi_click_id_retention;
extern char *pcapi_ca_file;
extern char *pcapi_proxy;
extern char *pcapi_senders;
extern bool pcapi_log_suppressed;

extern bool pcapi_preloaded;	/* by shared_preload_libraries */

/* ms of a clock that nobody sets: for all that is kept in one process's memory alone */
static inline int64
pcapi_clock_ms(void)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	return (int64) INSTR_TIME_GET_MILLISEC(now);
}

/* --- src/queue/catalog.c: where our objects are, and as whom we touch them --- */

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

extern Oid	pcapi_extension_owner(bool missing_ok); /* needs a transaction */
extern Oid	pcapi_table(PcapiTable table);
extern void pcapi_table_relcache_changed(Oid relid);
extern void pcapi_table_catalog_changed(void);

/* false: statements as the owner may fail for want of a right; cheap, kept until something changes */
extern bool pcapi_owner_has_rights(Oid owner);

/* Another one after any change of the table's definition that this session has heard of. */
extern uint32 pcapi_table_version(PcapiTable table);

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

extern void pcapi_become_owner(PcapiIdentity *saved, bool pin_search_path);

extern void pcapi_become_caller(const PcapiIdentity *saved);	/* after an ERROR the transaction's abort does it */

/* --- src/queue/guarded.c --- */

/*
 * Run something that may fail over data, in a subtransaction.  False when it
 * failed with an error of class 21, 22, or 54 (nested too deep, too large); all
 * other errors go on.
 */
typedef void (*PcapiGuarded) (void *arg);
extern bool pcapi_guarded(PcapiGuarded call, void *arg);

/*
 * The same for what users wrote, such as an expression: NULL, or any error but
 * those that are the caller's statement's (cancel, serialization failure,
 * deadlock, lack of resources), which go on.
 */
extern ErrorData *pcapi_attempt(PcapiGuarded call, void *arg);

/* Likewise, but false when it failed with a unique violation, and with that error alone. */
extern bool pcapi_guarded_unique(PcapiGuarded call, void *arg);

/*
 * Work on a part of a set, in a subtransaction: what stops it shall not stop
 * the other parts.  NULL, or why it failed, in the current memory context.
 * The same errors go on, as they would stop the others too.
 */
extern char *pcapi_isolated(PcapiGuarded call, void *arg);
extern char *pcapi_isolated_code(PcapiGuarded call, void *arg, int *sqlerrcode);	/* set on failure */

/*
 * Work on a set that is not to be all or nothing: on all n of it from one on,
 * and where that fails on each half, until those that fail stand alone.  NULL,
 * or why some do.
 */
typedef void (*PcapiPartWork) (void *arg, int from, int n);
extern char *pcapi_by_halves(PcapiPartWork work, void *arg, int from, int n);

/* run something and roll it back; errors go on */
extern void pcapi_undone(PcapiGuarded call, void *arg);

/* --- src/queue/encoding.c --- */

/* NULL when a character has no counterpart; need a transaction */
extern char *pcapi_to_utf8(const char *s, size_t len, size_t *outlen);
extern char *pcapi_from_utf8(const char *s, size_t len);

extern void pcapi_check_writable(const char *function); /* the server's own error, without the statement */

/* ereport's tail for every error of ours: neither statement nor context, they may quote values */
#define pcapi_hide() errhidestmt(true), errhidecontext(true)

/* 22023 with a hint: a call that can't be meant */
#define pcapi_bad_call(msg, hint) \
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg msg, errhint hint, pcapi_hide()))

#endif							/* PINTEREST_CAPI_H */
