/*
 * sequence.c
 *	  Advance sequences that logical replication has left behind.
 *
 * Logical replication brings rows with their numbers, and leaves the sequences as they
 * are.  After the switch-over to such a server, the first events would collide with
 * existing rows, and fail the transactions that track them.  So the sequence of ids is
 * advanced as rows arrive, and all sequences when the worker begins to send.
 */
#include "pinterest_capi.h"

#include "commands/sequence.h"
#include "common/extension.h"
#include "common/spi.h"
#include "fmgr.h"
#include "queue/sequence.h"
#include "utils/fmgrprotos.h"

/*
 * How far to advance beyond the largest number: a sequence from which others draw at
 * this moment must not be set back, and not each row that arrives shall write WAL.
 */
#define MARGIN 1000

void
pcapi_sequences_advance(void)
{
	SPI_connect();
	pcapi_execute_sql(SPI_OK_SELECT,
					  "SELECT pg_catalog.setval(s.seq, s.top + 1000) FROM ("
					  "SELECT 'pinterest_capi._event_id_seq'::pg_catalog.regclass AS seq, q.last_value + q.is_called::int AS next,"
					  " (SELECT max(e.id) FROM pinterest_capi._event AS e) AS top FROM pinterest_capi._event_id_seq AS q"
					  " UNION ALL SELECT 'pinterest_capi._destination_state_dest_seq'::pg_catalog.regclass, q.last_value + q.is_called::int,"
					  " (SELECT max(d.dest) FROM pinterest_capi._destination_state AS d) FROM pinterest_capi._destination_state_dest_seq AS q"
					  " UNION ALL SELECT 'pinterest_capi._lease_lease_seq'::pg_catalog.regclass, q.last_value + q.is_called::int,"
					  " (SELECT max(l.lease) FROM pinterest_capi._lease AS l) FROM pinterest_capi._lease_lease_seq AS q) AS s"
					  " WHERE s.top >= s.next",
					  false);
	SPI_finish();
}

void
pcapi_sequence_pass(int64 id)
{
	static int64 passed = 0;
	Oid			sequence;
	int64		next;
	PcapiUserContext saved;

	if (id <= passed)
		return;
	sequence = pcapi_table(PCAPI_TABLE_EVENT_SEQUENCE);
	pcapi_switch_to_owner(&saved, false);
	next = nextval_internal(sequence, false);
	if (next <= id)
	{
		next = id + MARGIN;
		DirectFunctionCall2(setval_oid, ObjectIdGetDatum(sequence), Int64GetDatum(next));
	}
	pcapi_restore_user(&saved);
	passed = next;
}
