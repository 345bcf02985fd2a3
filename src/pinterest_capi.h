/*
 * pinterest_capi.h
 *	  Included first by every file that knows PostgreSQL: the server's first header, version
 *	  differences, errors, a clock.
 */
#ifndef PINTEREST_CAPI_H
#define PINTEREST_CAPI_H

#include "postgres.h"

#include "compat.h"
#include "fmgr.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"

#define PCAPI_SCHEMA "pinterest_capi"
#define PCAPI_VERSION "1.0.0"	/* of the extension that this library belongs to */

/* Last in each ereport of ours: log neither statement nor context, which may quote values. */
#define pcapi_errhide() errhidestmt(true), errhidecontext(true)

/* Raise an error with SQLSTATE 22023 and a hint: a parameter is invalid. */
#define pcapi_error_invalid_parameter(msg, hint) \
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg msg, errhint hint, pcapi_errhide()))

/* Return the milliseconds of a monotonic clock.  They are comparable on one machine, until it restarts. */
static inline int64
pcapi_clock_ms(void)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	return (int64) INSTR_TIME_GET_MILLISEC(now);
}

/* Return a parameter of type text as a string, or NULL if it is null. */
static inline char *
pcapi_text_arg(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

#endif							/* PINTEREST_CAPI_H */
