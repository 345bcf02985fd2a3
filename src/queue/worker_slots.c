/*
 * worker_slots.c
 *	  The queue of databases that wait for a background worker slot, as empty files.
 *
 * Without preloading there is no shared memory that all databases see, and no process
 * that outlives the one that has it; and it is a database that waits, not a process.
 * So each waiting database has an empty file, in the server's directory for temporary
 * files of statistics, which base backups leave out.  worker_slots.h shows the files
 * and their states.
 *
 * A worker that serves a database with a request defers the request periodically, so
 * if it dies, the request is due soon.  rename() decides between two processes.
 * Nothing here raises an error, as sessions call it while they commit.
 *
 * A file's time is of the wall clock, which may be set meanwhile.  No request is
 * deferred for longer than DEFER_MAX.  So a later time was set by a clock that was
 * ahead, and counts as due.  A clock that was behind leaves times that are due too
 * soon, which does no harm.
 */
#include "pinterest_capi.h"

#include <ctype.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/unix_time.h"
#include "queue/worker_slots.h"
#include "storage/fd.h"
#include "utils/timestamp.h"

#define PREFIX PCAPI_TMP_DIR "/pinterest_capi."

/* how long a reservation holds; then no process has come up in the slot, and it counts as lost */
#define RESERVATION_HOLDS	(10 * USECS_PER_SEC)

/* a worker defers its request for a minute (SLOT_RETURN_AFTER in src/worker), and clocks may differ a bit */
#define DEFER_MAX		(90 * USECS_PER_SEC)

/* Read a file's time.  False: there is no such file. */
static bool
get_time(const char *path, TimestampTz *at)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return false;
	*at = pcapi_time_of_unix_us((int64) st.st_mtim.tv_sec * USECS_PER_SEC + st.st_mtim.tv_nsec / 1000);
	return true;
}

/* Set a file's time, if there is such a file. */
static void
set_time(const char *path, TimestampTz at)
{
	int64		us = pcapi_unix_us(at);
	struct timespec times[2];

	times[0].tv_sec = times[1].tv_sec = us / USECS_PER_SEC;
	times[0].tv_nsec = times[1].tv_nsec = us % USECS_PER_SEC * 1000;
	(void) utimensat(AT_FDCWD, path, times, 0);
}

/* Make the name of a request's file. */
static void
request_path(char path[MAXPGPATH], Oid database)
{
	snprintf(path, MAXPGPATH, PREFIX "%u", database);
}

/* Make the name of a reservation's file. */
static void
reservation_path(char path[MAXPGPATH], Oid database, Oid slot)
{
	snprintf(path, MAXPGPATH, PREFIX "%u.%u", database, slot);
}

void
pcapi_slot_request(Oid database, TimestampTz at)
{
	char		path[MAXPGPATH];
	TimestampTz listed;
	int			fd;

	request_path(path, database);
	if (get_time(path, &listed))
	{
		if (listed > at)
			set_time(path, at);
		return;
	}
	fd = BasicOpenFile(path, O_CREAT | O_WRONLY | PG_BINARY);
	if (fd < 0)
	{
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not create file \"%s\": %m", path),
				 errhidestmt(true), errhidecontext(true)));
		return;
	}
	close(fd);
	set_time(path, at);
}

void
pcapi_slot_defer(Oid database, TimestampTz at)
{
	char		path[MAXPGPATH];

	request_path(path, database);
	set_time(path, at);
}

void
pcapi_slot_cancel(Oid database)
{
	char		path[MAXPGPATH];

	request_path(path, database);
	(void) unlink(path);
}

bool
pcapi_slot_is_requested(Oid database)
{
	char		path[MAXPGPATH];
	TimestampTz at;

	request_path(path, database);
	return get_time(path, &at);
}

/* Parse the name of a file: pinterest_capi.DATABASE, or pinterest_capi.DATABASE.SLOT. */
static bool
read_name(const char *name, Oid *database, Oid *slot)
{
	static const char prefix[] = "pinterest_capi.";
	char	   *end;

	if (strncmp(name, prefix, strlen(prefix)) != 0 || !isdigit((unsigned char) name[strlen(prefix)]))
		return false;
	*database = (Oid) strtoul(name + strlen(prefix), &end, 10);
	*slot = InvalidOid;
	if (*end == '.' && isdigit((unsigned char) end[1]))
		*slot = (Oid) strtoul(end + 1, &end, 10);
	return *end == '\0';
}

/*
 * Read the next file.  *slot is invalid for a request.  *at is PG_INT64_MIN if the time was set by a clock that was
 * ahead.
 */
static bool
next_file(DIR *dir, TimestampTz now, Oid *database, Oid *slot, TimestampTz *at)
{
	struct dirent *entry;

	while ((entry = ReadDirExtended(dir, PCAPI_TMP_DIR, LOG)) != NULL)
	{
		char		path[MAXPGPATH];

		if (!read_name(entry->d_name, database, slot))
			continue;
		snprintf(path, sizeof(path), PCAPI_TMP_DIR "/%s", entry->d_name);
		if (!get_time(path, at))
			continue;
		if (*at > now + DEFER_MAX)
			*at = PG_INT64_MIN;
		return true;
	}
	return false;
}

Oid
pcapi_slot_next_waiting(Oid but, TimestampTz now)
{
	DIR		   *dir = AllocateDir(PCAPI_TMP_DIR);
	Oid			first = InvalidOid;
	TimestampTz first_at = now;
	Oid			database;
	Oid			slot;
	TimestampTz at;

	if (dir == NULL)
		return InvalidOid;
	while (next_file(dir, now, &database, &slot, &at))
	{
		if (OidIsValid(slot) && at < now - RESERVATION_HOLDS)
		{
			char		from[MAXPGPATH];
			char		to[MAXPGPATH];

			reservation_path(from, database, slot);
			request_path(to, database);
			(void) rename(from, to);
		}
		else if (OidIsValid(slot))
			continue;
		if (database != but && at <= first_at)
		{
			first = database;
			first_at = at;
		}
	}
	FreeDir(dir);
	return first;
}

bool
pcapi_slot_reserve(Oid database, Oid slot)
{
	char		from[MAXPGPATH];
	char		to[MAXPGPATH];

	request_path(from, database);
	reservation_path(to, database, slot);
	set_time(from, GetCurrentTimestamp());
	return rename(from, to) == 0;
}

Oid
pcapi_slot_claim(Oid slot, TimestampTz until)
{
	DIR		   *dir = AllocateDir(PCAPI_TMP_DIR);
	Oid			taken = InvalidOid;
	Oid			database;
	Oid			reserved;
	TimestampTz at;

	if (dir == NULL)
		return InvalidOid;
	while (!OidIsValid(taken) && next_file(dir, until, &database, &reserved, &at))
	{
		char		from[MAXPGPATH];
		char		to[MAXPGPATH];

		if (reserved != slot)
			continue;
		reservation_path(from, database, slot);
		request_path(to, database);
		if (rename(from, to) != 0)
			continue;
		set_time(to, until);
		taken = database;
	}
	FreeDir(dir);
	return taken;
}
