/*
 * callback_slots.c
 *	  Stand for other extensions with relcache callbacks: take_relcache_slots(n)
 *	  uses up n of a process's slots for them, and reports each with a NOTICE.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/inval.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(take_relcache_slots);

static void
ignore(Datum arg, Oid relid)
{
}

Datum
take_relcache_slots(PG_FUNCTION_ARGS)
{
	for (int i = 1; i <= PG_GETARG_INT32(0); i++)
	{
		CacheRegisterRelcacheCallback(ignore, (Datum) 0);
		ereport(NOTICE, (errmsg("slot %d", i)));
	}
	PG_RETURN_VOID();
}
