/*
 * sending_server.c
 *	  Which server sends a database's events, and whether this is the one.
 *
 * A base backup, a snapshot and CREATE DATABASE ... TEMPLATE carry tokens and
 * queue, so a copy that is started would send.  The table _sending_server, which all
 * of these carry and dumps don't, tells which server sends: its machine, and the file
 * pg_control, which the server writes in place for as long as the cluster exists
 * (src/core/host.c).  A server that is not the one in the table sends only
 *
 * - after a promotion that this postmaster has seen as a standby,
 *
 * - after pg_upgrade on the same machine, or
 *
 * - where pinterest_capi.senders names its host.
 *
 * Else it is held until somebody calls resume_destination() or configure_destination().
 * docs/operations.md lists what that means in each case.
 *
 * The table usually has one row.  If logical replication brings another server's row
 * beside this server's own, the own row counts.
 */
#include "pinterest_capi.h"

#include <signal.h>
#include <unistd.h>

#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "catalog/pg_type.h"
#include "common/extension.h"
#include "common/guc.h"
#include "common/spi.h"
#include "core/host.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "queue/sending_server.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#define CONTROL_FILE "global/pg_control"

/* how this server relates to the one in the table */
typedef enum Recognition
{
	RECOGNIZED,					/* it is that server */
	CHANGED,					/* likewise; its host name or the like has changed */
	FIRST,						/* the table is empty */
	NAMED,						/* another one, and pinterest_capi.senders names it */
	PROMOTED,
	UPGRADED,
	COPY,						/* held */
	NOT_NAMED					/* held: pinterest_capi.senders names other hosts */
} Recognition;

/* a row of the table */
typedef struct KnownServer
{
	PcapiHost	host;
	Oid			database;
	uint64		system;			/* system identifier */
	char	   *directory;		/* data directory */
} KnownServer;

/* the columns of a row except the time, in their order */
#define SERVER_COLUMNS \
	"database, system, host, machine, boot, adapters, device, inode, born, directory"
#define N_SERVER_COLUMNS 10

/* ---- this server ---- */

/* Describe this server, once per process: a change, such as of the host's name, is seen by the next process. */
static const PcapiHost *
this_host(void)
{
	static PcapiHost host;
	static bool described = false;

	if (described)
		return &host;
	if (!pcapi_host_describe(&host, CONTROL_FILE))
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not stat file \"%s\": %m", CONTROL_FILE),
				 errhint("The server needs this file too: check its data directory."),
				 pcapi_errhide()));
	for (char *c = host.name; *c; c++)
		if ((unsigned char) *c <= ' ' || (unsigned char) *c > '~')
			*c = '?';			/* a name must be valid in each encoding */
	described = true;
	return &host;
}

/* Return whether pinterest_capi.senders is set. */
static bool
senders_are_named(void)
{
	return pcapi_senders != NULL && pcapi_senders[0] != '\0';
}

/* Return whether it names a host. */
static bool
is_named(const char *host)
{
	char	   *list = pstrdup(pcapi_senders);
	List	   *names;
	ListCell   *lc;

	if (!SplitGUCList(list, ',', &names))
		return false;
	foreach(lc, names)
	{
		if (pcapi_host_matches(host, lfirst(lc)))
			return true;
	}
	return false;
}

/*
 * Return whether this postmaster was a standby and has been promoted.  The flag is in
 * shared memory until the postmaster ends; a worker that starts meanwhile writes the
 * table.  A recovery to a point in time that was paused at its target and then promoted
 * has the flag too, but also a target.
 */
static bool
was_promoted(void)
{
	return PromoteIsTriggered() && recoveryTarget == RECOVERY_TARGET_UNSET;
}

/*
 * Return whether the server of a row still runs on this machine, or may do so.  Its
 * postmaster.pid is read in the data directory that the row names: if the directory
 * was moved, the postmaster's pid is unknown.
 */
static bool
still_runs(const KnownServer *known)
{
	PcapiHost	found;
	char		path[MAXPGPATH];
	FILE	   *file;
	int			pid;
	int			n;

	snprintf(path, sizeof(path), "%s/%s", known->directory, CONTROL_FILE);
	if (!pcapi_host_describe(&found, path))
		return errno != ENOENT && errno != ENOTDIR;
	if (!pcapi_host_same_file(&found, &known->host))
		return false;
	snprintf(path, sizeof(path), "%s/postmaster.pid", known->directory);
	file = fopen(path, "r");
	if (file == NULL)
		return errno != ENOENT;
	n = fscanf(file, "%d", &pid);
	fclose(file);
	return n != 1 || kill(abs(pid), 0) == 0 || errno == EPERM;
}

/*
 * Return whether pg_upgrade has made this cluster from that of a row: nothing else makes
 * a cluster with another system identifier and the same tables.  If a copy was upgraded
 * on the same machine, as a rehearsal, the original still runs.
 */
static bool
was_upgraded(const KnownServer *known)
{
	return known->system != GetSystemIdentifier() &&
		pcapi_host_same_machine(&known->host, this_host()) &&
		!still_runs(known);
}

/* ---- the table ---- */

/* Return bytes as bytea. */
static Datum
bytea_datum(const void *data, size_t len)
{
	bytea	   *b = palloc(VARHDRSZ + len);

	SET_VARSIZE(b, VARHDRSZ + len);
	memcpy(VARDATA(b), data, len);
	return PointerGetDatum(b);
}

/* Copy at most size bytes of a bytea column.  Return how many, 0 for NULL. */
static size_t
read_bytes(uint64 row, const char *column, void *to, size_t size)
{
	bool		isnull;
	Datum		d = pcapi_result_datum(row, pcapi_result_column(column), &isnull);
	bytea	   *b;
	size_t		len;

	if (isnull)
		return 0;
	b = DatumGetByteaPP(d);
	len = Min(size, VARSIZE_ANY_EXHDR(b));
	memcpy(to, VARDATA_ANY(b), len);
	return len;
}

/* Return a row of the last statement's result; its strings are in the caller's memory context. */
static KnownServer *
read_row(uint64 row)
{
	KnownServer *known = palloc0(sizeof(KnownServer));
	PcapiHost  *host = &known->host;
	bool		isnull;

	known->database = DatumGetObjectId(pcapi_result_datum(row, pcapi_result_column("database"), &isnull));
	known->system = (uint64) pcapi_result_int64(row, "system");
	strlcpy(host->name, pcapi_result_text(row, "host"), sizeof(host->name));
	host->has_machine = read_bytes(row, "machine", host->machine, sizeof(host->machine)) > 0;
	host->has_boot = read_bytes(row, "boot", host->boot, sizeof(host->boot)) > 0;
	host->n_adapters = (int) (read_bytes(row, "adapters", host->adapters, sizeof(host->adapters)) /
							  PCAPI_HOST_ADAPTER);
	host->device = (uint64) pcapi_result_int64(row, "device");
	host->inode = (uint64) pcapi_result_int64(row, "inode");
	host->born = pcapi_result_int64(row, "born");
	known->directory = pcapi_result_text(row, "directory");
	return known;
}

/* Read the rows, the newest first.  Inside SPI. */
static List *
read_rows(void)
{
	static SPIPlanPtr plan = NULL;
	List	   *rows = NIL;

	pcapi_execute(SPI_OK_SELECT,
				  pcapi_plan(&plan, "SELECT " SERVER_COLUMNS " FROM pinterest_capi._sending_server"
							 " ORDER BY claimed_at DESC", 0, NULL),
				  NULL, NULL, true, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
		rows = lappend(rows, read_row(i));
	return rows;
}

/* Make this server the one that sends: replace the rows by its own.  Inside SPI. */
static void
write_row(void)
{
	const PcapiHost *host = this_host();
	Oid			types[N_SERVER_COLUMNS] = {OIDOID, INT8OID, TEXTOID, BYTEAOID, BYTEAOID, BYTEAOID, INT8OID, INT8OID, INT8OID, TEXTOID};
	Datum		values[N_SERVER_COLUMNS];
	char		nulls[N_SERVER_COLUMNS];

	memset(nulls, ' ', sizeof(nulls));
	values[0] = ObjectIdGetDatum(MyDatabaseId);
	values[1] = Int64GetDatum((int64) GetSystemIdentifier());
	values[2] = CStringGetTextDatum(host->name);
	values[3] = bytea_datum(host->machine, sizeof(host->machine));
	values[4] = bytea_datum(host->boot, sizeof(host->boot));
	values[5] = bytea_datum(host->adapters, (size_t) host->n_adapters * PCAPI_HOST_ADAPTER);
	values[6] = Int64GetDatum((int64) host->device);
	values[7] = Int64GetDatum((int64) host->inode);
	values[8] = Int64GetDatum(host->born);
	values[9] = CStringGetTextDatum(DataDir);
	nulls[3] = host->has_machine ? ' ' : 'n';
	nulls[4] = host->has_boot ? ' ' : 'n';

	pcapi_execute_sql(SPI_OK_DELETE, "DELETE FROM pinterest_capi._sending_server", false);
	pcapi_execute_once(SPI_OK_INSERT,
					   "INSERT INTO pinterest_capi._sending_server (claimed_at, " SERVER_COLUMNS ")"
					   " VALUES (pg_catalog.clock_timestamp(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
					   N_SERVER_COLUMNS, types, values, nulls, false, 0);
}

/* ---- recognition ---- */

/* Return whether a row describes this server in each column. */
static bool
is_unchanged(const KnownServer *known)
{
	const PcapiHost *a = &known->host;
	const PcapiHost *b = this_host();

	return known->system == GetSystemIdentifier() &&
		strcmp(a->name, b->name) == 0 &&
		a->has_machine == b->has_machine && memcmp(a->machine, b->machine, sizeof(a->machine)) == 0 &&
		a->has_boot == b->has_boot && memcmp(a->boot, b->boot, sizeof(a->boot)) == 0 &&
		a->n_adapters == b->n_adapters && memcmp(a->adapters, b->adapters, sizeof(a->adapters)) == 0 &&
		a->device == b->device && a->inode == b->inode && a->born == b->born &&
		strcmp(known->directory, DataDir) == 0;
}

/* Compare this server with the rows.  Inside SPI; *of is the row that decides, or NULL. */
static Recognition
recognize(KnownServer **of)
{
	const PcapiHost *host = this_host();
	List	   *rows = read_rows();
	KnownServer *mine = NULL;
	ListCell   *lc;

	*of = rows ? linitial(rows) : NULL;
	if (senders_are_named() && !is_named(host->name))
		return NOT_NAMED;
	if (rows == NIL)
		return FIRST;
	foreach(lc, rows)
	{
		KnownServer *known = lfirst(lc);

		if (known->database != MyDatabaseId)
			continue;
		if (mine == NULL || pcapi_host_same_server(&known->host, host))
			mine = known;
	}

	/* only CREATE DATABASE makes a new database OID: pg_upgrade keeps it */
	if (mine == NULL)
		return COPY;
	*of = mine;
	if (pcapi_host_same_server(&mine->host, host))
		return is_unchanged(mine) ? RECOGNIZED : CHANGED;
	if (senders_are_named())
		return NAMED;
	if (was_promoted())
		return PROMOTED;
	return was_upgraded(mine) ? UPGRADED : COPY;
}

char *
pcapi_copy_reason(const char **remedy)
{
	MemoryContext context = CurrentMemoryContext;
	char	   *reason = NULL;
	Recognition recognition;
	KnownServer *of;
	PcapiUserContext saved;

	pcapi_switch_to_owner(&saved, true);
	SPI_connect();
	recognition = recognize(&of);
	if (recognition == NOT_NAMED)
	{
		*remedy = "If this host is to send, add its name to pinterest_capi.senders and reload the configuration.";
		reason = psprintf("host \"%s\" is not named in pinterest_capi.senders", this_host()->name);
	}
	else if (recognition == COPY)
	{
		*remedy = "If this server is to send, and the other one does not, call pinterest_capi.resume_destination().";
		reason = psprintf("this looks like a copy of %s on host \"%s\"",
						  of->database != MyDatabaseId && of->system == GetSystemIdentifier() ?
						  "another database" : "the server", of->host.name);
	}
	if (reason)
		reason = MemoryContextStrdup(context, reason);
	SPI_finish();
	pcapi_restore_user(&saved);
	return reason;
}

void
pcapi_sending_server_recognize(void)
{
	static const char *const why[] = {
		[NAMED] = "pinterest_capi.senders names it",
		[PROMOTED] = "it was promoted",
		[UPGRADED] = "it was upgraded"
	};
	Recognition recognition;
	KnownServer *of;

	SPI_connect();
	recognition = recognize(&of);
	if (recognition == CHANGED || recognition == FIRST)
		write_row();
	else if (recognition == NAMED || recognition == PROMOTED || recognition == UPGRADED)
	{
		ereport(LOG,
				(errmsg("this server sends from now on, in place of the one on host \"%s\": %s",
						of->host.name, why[recognition])));
		write_row();
	}
	SPI_finish();
}

bool
pcapi_sending_server_claim(void)
{
	Recognition recognition;
	KnownServer *of;
	PcapiUserContext saved;

	pcapi_switch_to_owner(&saved, true);
	SPI_connect();
	recognition = recognize(&of);
	if (recognition != RECOGNIZED && recognition != NOT_NAMED)
		write_row();
	SPI_finish();
	pcapi_restore_user(&saved);
	return recognition == COPY;
}
