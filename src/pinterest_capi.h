/*
 * pinterest_capi.h
 *	  What every file in PostgreSQL includes: the server's first header, version differences, errors.
 */
#ifndef PINTEREST_CAPI_H
#define PINTEREST_CAPI_H

#include "postgres.h"

#include "compat.h"
#include "fmgr.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"

#define PCAPI_SCHEMA "pinterest_capi"
#define PCAPI_VERSION "1.0"		/* the extension's that this library goes with */

/* ereport's tail for every error of ours: neither statement nor context, they may quote values */
#define pcapi_errhide() errhidestmt(true), errhidecontext(true)

/* 22023 with a hint: a call that can't be meant */
#define pcapi_error_invalid_parameter(msg, hint) \
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg msg, errhint hint, pcapi_errhide()))

/* ms of a clock that nobody sets: for all that is kept in one process's memory alone */
static inline int64
pcapi_clock_ms(void)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	return (int64) INSTR_TIME_GET_MILLISEC(now);
}

/* A parameter of type text as a string; NULL: null. */
static inline char *
pcapi_text_arg(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

#endif							/* PINTEREST_CAPI_H */
