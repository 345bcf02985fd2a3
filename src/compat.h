/*
 * compat.h
 *	  All differences between versions of PostgreSQL (15 to 19) and of libcurl.
 *
 * A comment begins with the version that made the difference.  No other file
 * asks for a version.
 */
#ifndef PCAPI_COMPAT_H
#define PCAPI_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 150000
#error "pinterest_capi needs PostgreSQL 15 or later"
#endif

#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/latch.h"
#include "storage/proc.h"
#if PG_VERSION_NUM >= 180000
#include "storage/waiteventset.h"
#endif
#if PG_VERSION_NUM >= 160000
#include "parser/parse_relation.h"
#endif
#include "utils/acl.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"
#include "utils/wait_event.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 16: the i-th process, from 1, in the snapshot of pg_stat_activity */
#if PG_VERSION_NUM >= 160000
#define PcapiBackendStatus(i)	(&pgstat_get_local_beentry_by_index(i)->backendStatus)
#else
#define PcapiBackendStatus(i)	(&pgstat_fetch_stat_local_beentry(i)->backendStatus)
#endif

/* 17: the number of a process in the array of PGPROCs has an official name */
#if PG_VERSION_NUM >= 170000
#define PcapiMyProcNumber()		((int) MyProcNumber)
#else
#define PcapiMyProcNumber()		(MyProc->pgprocno)
#endif

/* 17: custom wait events */
#if PG_VERSION_NUM >= 170000
#define PcapiWaitEvent(name)	WaitEventExtensionNew(name)
#else
#define PcapiWaitEvent(name)	PG_WAIT_EXTENSION
#endif

/* 17: a wait event set belongs to a resource owner instead of a memory context */
#if PG_VERSION_NUM >= 170000
#define PcapiCreateWaitEventSet(n)	CreateWaitEventSet(NULL, (n))
#else
#define PcapiCreateWaitEventSet(n)	CreateWaitEventSet(TopMemoryContext, (n))
#endif

/* 15.4: the connection limit of a database that an interrupted DROP DATABASE left has a name */
#define PCAPI_LIMIT_OF_INVALID	(-2)

/* 18: the mark of a function that doesn't return stands in front */
#if PG_VERSION_NUM >= 180000
#define PcapiNoReturn			pg_noreturn
#else
#define PcapiNoReturn			pg_attribute_noreturn()
#endif

/* 18: the magic block can carry a name and a version */
#if PG_VERSION_NUM >= 180000
#define PCAPI_MODULE_MAGIC	PG_MODULE_MAGIC_EXT(.name = "pinterest_capi", .version = PCAPI_VERSION)
#else
#define PCAPI_MODULE_MAGIC	PG_MODULE_MAGIC
#endif

/* 19: building a jsonb has a state of its own type; .result is the value built */
#if PG_VERSION_NUM >= 190000
typedef JsonbInState PcapiJsonb;
#define PcapiJsonbPush(b, token, value)	pushJsonbValue((b), (token), (value))
#else
typedef struct PcapiJsonb
{
	JsonbParseState *state;
	JsonbValue *result;
} PcapiJsonb;
#define PcapiJsonbPush(b, token, value) \
	((b)->result = pushJsonbValue(&(b)->state, (token), (value)))
#endif

/* 19: a table scan takes flags */
#if PG_VERSION_NUM >= 190000
#define PcapiTableBeginScan(rel, snapshot)	table_beginscan((rel), (snapshot), 0, NULL, 0)
#else
#define PcapiTableBeginScan(rel, snapshot)	table_beginscan((rel), (snapshot), 0, NULL)
#endif

/* 18: an index scan takes a place for counts of EXPLAIN; 19: and flags */
#if PG_VERSION_NUM >= 190000
#define PcapiIndexBeginScan(rel, index, snapshot, nkeys) \
	index_beginscan((rel), (index), (snapshot), NULL, (nkeys), 0, 0)
#elif PG_VERSION_NUM >= 180000
#define PcapiIndexBeginScan(rel, index, snapshot, nkeys) \
	index_beginscan((rel), (index), (snapshot), NULL, (nkeys), 0)
#else
#define PcapiIndexBeginScan(rel, index, snapshot, nkeys) \
	index_beginscan((rel), (index), (snapshot), (nkeys), 0)
#endif

/* 19: a deletion takes flags instead of a switch for a row that moves to another partition */
#if PG_VERSION_NUM >= 190000
#define PcapiTupleDelete(rel, tid, cid, snapshot, wait, failure) \
	table_tuple_delete((rel), (tid), (cid), 0, (snapshot), InvalidSnapshot, (wait), (failure))
#else
#define PcapiTupleDelete(rel, tid, cid, snapshot, wait, failure) \
	table_tuple_delete((rel), (tid), (cid), (snapshot), InvalidSnapshot, (wait), (failure), false)
#endif

/* 16: index entries may be made for BRIN indexes alone; 18: a check can pass over a row; 19: flags instead of switches */
#if PG_VERSION_NUM >= 190000
#define PcapiInsertIndexTuples(info, slot, estate, speculative, conflict, arbiters) \
	ExecInsertIndexTuples((info), (estate), (speculative) ? EIIT_NO_DUPE_ERROR : 0, (slot), (arbiters), (conflict))
#elif PG_VERSION_NUM >= 160000
#define PcapiInsertIndexTuples(info, slot, estate, speculative, conflict, arbiters) \
	ExecInsertIndexTuples((info), (slot), (estate), false, (speculative), (conflict), (arbiters), false)
#else
#define PcapiInsertIndexTuples(info, slot, estate, speculative, conflict, arbiters) \
	ExecInsertIndexTuples((info), (slot), (estate), false, (speculative), (conflict), (arbiters))
#endif
#if PG_VERSION_NUM >= 180000
#define PcapiCheckIndexConstraints(info, slot, estate, found, arbiters) \
	ExecCheckIndexConstraints((info), (slot), (estate), (found), &(slot)->tts_tid, (arbiters))
#else
#define PcapiCheckIndexConstraints(info, slot, estate, found, arbiters) \
	ExecCheckIndexConstraints((info), (slot), (estate), (found), (arbiters))
#endif

/* 16: actions of the JSON parser return whether to continue; 17: the caller may own the lexer */
#if PG_VERSION_NUM >= 160000
#define PcapiJsonAction			JsonParseErrorType
#define PcapiJsonGoOn()			return JSON_SUCCESS
#else
#define PcapiJsonAction			void
#define PcapiJsonGoOn()			return
#endif
#if PG_VERSION_NUM >= 170000
#define PcapiJsonLexer(s, len, enc)	makeJsonLexContextCstringLen(NULL, (s), (len), (enc), true)
#else
#define PcapiJsonLexer(s, len, enc)	makeJsonLexContextCstringLen((s), (len), (enc), true)
#endif

/* 16: the rights that a query needs stand beside its tables; one function checks rights on any object */
#if PG_VERSION_NUM >= 160000
#define PcapiCheckTableRights(query) \
	((void) ExecCheckPermissions((query)->rtable, (query)->rteperminfos, true))
#define PcapiCheckedAs(query, rte) \
	((rte)->perminfoindex > 0 ? getRTEPermissionInfo((query)->rteperminfos, (rte))->checkAsUser : InvalidOid)
#define PcapiMayExecute(function) \
	(object_aclcheck(ProcedureRelationId, (function), GetUserId(), ACL_EXECUTE) == ACLCHECK_OK)
#define PcapiMayUse(schema) \
	(object_aclcheck(NamespaceRelationId, (schema), GetUserId(), ACL_USAGE) == ACLCHECK_OK)
#else
#define PcapiCheckTableRights(query)	((void) ExecCheckRTPerms((query)->rtable, true))
#define PcapiCheckedAs(query, rte)		((rte)->checkAsUser)
#define PcapiMayExecute(function) \
	(pg_proc_aclcheck((function), GetUserId(), ACL_EXECUTE) == ACLCHECK_OK)
#define PcapiMayUse(schema) \
	(pg_namespace_aclcheck((schema), GetUserId(), ACL_USAGE) == ACLCHECK_OK)
#endif

/* 18: generated columns may be virtual: no row that a trigger gets contains their values */
#if PG_VERSION_NUM >= 180000
#define PcapiExpandGenerated(node, rel, varno)	expand_generated_columns_in_expr((node), (rel), (varno))
#define PcapiHasVirtual(desc)	((desc)->constr && (desc)->constr->has_generated_virtual)
#define PcapiIsVirtual(att)		((att)->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL)
#else
#define PcapiExpandGenerated(node, rel, varno)	(node)
#define PcapiHasVirtual(desc)	false
#define PcapiIsVirtual(att)		false
#endif

/* 19: the number of a syscache is an enum, which is passed as an int is */
#define PcapiSyscacheCallback(function)	((SyscacheCallbackFunction) (void (*) (void)) (function))

/* The directory for temporary files of statistics, which the server may stop naming. */
#ifndef PG_STAT_TMP_DIR
#define PCAPI_TMP_DIR	"pg_stat_tmp"
#else
#define PCAPI_TMP_DIR	PG_STAT_TMP_DIR
#endif

/* 19: the first logical slot switches logical decoding on, from wal_level replica on */
#if PG_VERSION_NUM >= 190000
#define PCAPI_WAL_LEVEL_TO_PUBLISH	WAL_LEVEL_REPLICA
#else
#define PCAPI_WAL_LEVEL_TO_PUBLISH	WAL_LEVEL_LOGICAL
#endif

/* 16: a connection may have to have a password; 17: it may be one that cannot replicate */
#if PG_VERSION_NUM >= 170000
#define PcapiWalrcvConnect(conninfo, name, err) walrcv_connect((conninfo), true, true, false, (name), (err))
#elif PG_VERSION_NUM >= 160000
#define PcapiWalrcvConnect(conninfo, name, err) walrcv_connect((conninfo), true, false, (name), (err))
#else
#define PcapiWalrcvConnect(conninfo, name, err) walrcv_connect((conninfo), true, (name), (err))
#endif

#ifdef LIBCURL_VERSION_NUM
#if LIBCURL_VERSION_NUM < 0x075800
#error pinterest_capi needs libcurl 7.88 or later
#endif

/* libcurl 8.20: the resolver's threads belong to the multi handle, which can be told not to wait for them */
#if LIBCURL_VERSION_NUM >= 0x081400
#define PcapiCurlQuickExit(multi) ((void) curl_multi_setopt((multi), CURLMOPT_QUICK_EXIT, 1L))
#else
#define PcapiCurlQuickExit(multi) ((void) 0)
#endif
#endif

#endif							/* PCAPI_COMPAT_H */
