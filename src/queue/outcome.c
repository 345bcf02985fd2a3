/*
 * outcome.c
 *	  The final status of an event, and the statement that writes it.
 */
#include "pinterest_capi.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "common/extension.h"
#include "common/spi.h"
#include "common/table_access.h"
#include "common/table_columns.h"
#include "common/table_layout.h"
#include "executor/tuptable.h"
#include "queue/outcome.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

SPIPlanPtr
pcapi_outcome_plan(SPIPlanPtr plans[2], const char *sql, int nargs, Oid *argtypes)
{
	Relation	rel = table_open(pcapi_table(PCAPI_TABLE_OUTCOME), RowExclusiveLock);
	bool		keyed = rel->rd_rules == NULL && pcapi_uniqueness(rel, &pcapi_outcome_key).valid;

	table_close(rel, NoLock);
	return pcapi_plan(&plans[keyed], psprintf(sql, keyed ? " ON CONFLICT (id) DO NOTHING" : ""), nargs, argtypes);
}

const char *
pcapi_outcome_name(PcapiOutcome outcome)
{
	switch (outcome)
	{
		case PCAPI_SENT:
			return "sent";
		case PCAPI_FAILED:
			return "failed";
		case PCAPI_EXPIRED:
			return "expired";
		default:
			return "";
	}
}

/* ---- outcomes of transactions that are not over ---- */

struct PcapiOutcomeLook
{
	Relation	rel;
	Relation	index;
	IndexScanDesc scan;
	TupleTableSlot *slot;
	SnapshotData dirty;
};

PcapiOutcomeLook *
pcapi_outcome_look_begin(void)
{
	PcapiOutcomeLook *look = palloc0(sizeof(PcapiOutcomeLook));

	look->rel = table_open(pcapi_table(PCAPI_TABLE_OUTCOME), AccessShareLock);
	look->index = pcapi_reads_directly(PCAPI_TABLE_OUTCOME, look->rel) ?
		pcapi_open_index(look->rel, &pcapi_outcome_key) : NULL;
	if (look->index == NULL)
	{
		table_close(look->rel, NoLock);
		pfree(look);
		return NULL;
	}
	InitDirtySnapshot(look->dirty);
	look->scan = PcapiIndexBeginScan(look->rel, look->index, &look->dirty, 1);
	look->slot = table_slot_create(look->rel, NULL);
	return look;
}

PcapiOutcomeState
pcapi_outcome_look(PcapiOutcomeLook *look, int64 id)
{
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	index_rescan(look->scan, &key, 1, NULL, 0);
	if (!index_getnext_slot(look->scan, ForwardScanDirection, look->slot))
		return PCAPI_OUTCOME_NONE;
	/* the snapshot says who is about to insert or delete the row that it shows */
	if (TransactionIdIsValid(look->dirty.xmin) || TransactionIdIsValid(look->dirty.xmax))
		return PCAPI_OUTCOME_PENDING;
	return PCAPI_OUTCOME_THERE;
}

void
pcapi_outcome_look_end(PcapiOutcomeLook *look)
{
	index_endscan(look->scan);
	ExecDropSingleTupleTableSlot(look->slot);
	index_close(look->index, NoLock);
	table_close(look->rel, NoLock);
	pfree(look);
}

Datum
pcapi_without_pending(Datum ids)
{
	PcapiOutcomeLook *look = pcapi_outcome_look_begin();
	Datum	   *elems;
	int			n;
	int			kept = 0;

	if (look == NULL)
		return ids;
	deconstruct_array(DatumGetArrayTypeP(ids), INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &elems, NULL, &n);
	for (int i = 0; i < n; i++)
		if (pcapi_outcome_look(look, DatumGetInt64(elems[i])) != PCAPI_OUTCOME_PENDING)
			elems[kept++] = elems[i];
	pcapi_outcome_look_end(look);
	return pcapi_array(elems, kept, INT8OID);
}
