/*
 * subxact.c
 *	  Run a function in a subtransaction: one that may fail, or whose effects are rolled back.
 *
 * The subtransaction has ended when a function of this file returns or raises an
 * error.  Code further out doesn't know of it, and a session that leaves one open
 * ends with a FATAL error at the next ROLLBACK.
 */
#include "pinterest_capi.h"

#include "access/xact.h"
#include "common/subxact.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/* Run call(arg) in a subtransaction.  Return NULL, or the error in the caller's memory context. */
static ErrorData *
run(PcapiSubxactWork call, void *arg, bool keep)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		call(arg);
		if (keep)
			ReleaseCurrentSubTransaction();
		else
			RollbackAndReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

bool
pcapi_try_subxact(PcapiSubxactWork call, void *arg)
{
	ErrorData  *error = run(call, arg, true);

	if (error == NULL)
		return true;
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_DATA_EXCEPTION:
		case ERRCODE_CARDINALITY_VIOLATION:
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED:
			FreeErrorData(error);
			return false;
		default:
			ReThrowError(error);
	}
	pg_unreachable();
}

ErrorData *
pcapi_try_user_code(PcapiSubxactWork call, void *arg)
{
	ErrorData  *error = run(call, arg, true);

	if (error == NULL)
		return NULL;

	/*
	 * lock_timeout (55P03) does not propagate: it ends a wait for a lock, and
	 * the caller can do without the result.
	 */
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
			ReThrowError(error);
		default:
			if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
				ReThrowError(error);
	}
	return error;
}

bool
pcapi_try_subxact_unique(PcapiSubxactWork call, void *arg)
{
	ErrorData  *error = run(call, arg, true);

	if (error == NULL)
		return true;
	if (error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION)
		ReThrowError(error);
	FreeErrorData(error);
	return false;
}

/*
 * Return a message that may be logged and stored.  The texts of class 22, which
 * quote values, and of PL/pgSQL's RAISE, which may, are replaced by the SQLSTATE.
 */
char *
pcapi_subxact_error_code(PcapiSubxactWork call, void *arg, int *sqlerrcode)
{
	ErrorData  *error = pcapi_try_user_code(call, arg);
	char	   *message;

	if (error == NULL)
		return NULL;
	*sqlerrcode = error->sqlerrcode;
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_DATA_EXCEPTION:
		case ERRCODE_PLPGSQL_ERROR:
			message = psprintf("error %s", unpack_sql_state(error->sqlerrcode));
			break;
		default:
			message = pstrdup(error->message ? error->message : "unknown error");
	}
	FreeErrorData(error);
	return message;
}

char *
pcapi_subxact_error(PcapiSubxactWork call, void *arg)
{
	int			sqlerrcode;

	return pcapi_subxact_error_code(call, arg, &sqlerrcode);
}

/* a part of a set, for work_on() */
typedef struct Part
{
	PcapiPartWork work;
	void	   *arg;
	int			from;
	int			n;
} Part;

/* Call a PcapiPartWork for a part. */
static void
work_on(void *arg)
{
	const Part *part = arg;

	part->work(part->arg, part->from, part->n);
}

char *
pcapi_by_halves(PcapiPartWork work, void *arg, int from, int n)
{
	Part		part = {.work = work, .arg = arg, .from = from, .n = n};
	int			half = n / 2;
	char	   *problem;
	char	   *other;

	if (n == 0)
		return NULL;
	problem = pcapi_subxact_error(work_on, &part);
	if (problem == NULL || n == 1)
		return problem;
	problem = pcapi_by_halves(work, arg, from, half);
	other = pcapi_by_halves(work, arg, from + half, n - half);
	return problem ? problem : other;
}

void
pcapi_rollback_subxact(PcapiSubxactWork call, void *arg)
{
	ErrorData  *error = run(call, arg, false);

	if (error)
		ReThrowError(error);
}
