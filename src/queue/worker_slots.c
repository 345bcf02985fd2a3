/*
 * worker_slots.c
 *	  Databases that want a worker while no slot is free, as empty files.
 *
 * Without preloading there is no shared memory that all databases see, and
 * nobody who would outlive the process that has it; and whoever waits is a
 * database, not a process.  So it is a file for each, in the directory for
 * such things that the server keeps and base backups leave out:
 *
 *	pinterest_capi.DATABASE			wants a worker from the file's time on
 *	pinterest_capi.DATABASE.SLOT	that slot's next process will be it
 *
 * A worker that serves a database on this list puts its time off again and
 * again, so one that dies is missed soon.  rename() settles who was first.
 * Nothing here raises an error: sessions come by while they commit.
 *
 * The times are of the wall clock, which somebody may set while they stand
 * there.  Nobody puts anything off for longer than PUT_OFF_MAX, so a time that
 * is later was set by a clock that was ahead, and is over.  A clock that was
 * behind leaves times that are over too soon, which does no harm.
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

/* a promise that nobody came for: the slot is gone */
#define PROMISE_HOLDS	(10 * USECS_PER_SEC)

/* a worker comes back within a minute (worker/main.c), and a clock may be a bit off */
#define PUT_OFF_MAX		(90 * USECS_PER_SEC)

static bool
get_time(const char *path, TimestampTz *at)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return false;
	*at = pcapi_time_of_unix_us((int64) st.st_mtim.tv_sec * USECS_PER_SEC + st.st_mtim.tv_nsec / 1000);
	return true;
}

static void
set_time(const char *path, TimestampTz at)
{
	int64		us = pcapi_unix_us(at);
	struct timespec times[2];

	times[0].tv_sec = times[1].tv_sec = us / USECS_PER_SEC;
	times[0].tv_nsec = times[1].tv_nsec = us % USECS_PER_SEC * 1000;
	(void) utimensat(AT_FDCWD, path, times, 0);
}

static void
waiting_path(char path[MAXPGPATH], Oid database)
{
	snprintf(path, MAXPGPATH, PREFIX "%u", database);
}

static void
promise_path(char path[MAXPGPATH], Oid database, Oid slot)
{
	snprintf(path, MAXPGPATH, PREFIX "%u.%u", database, slot);
}

void
pcapi_slot_request(Oid database, TimestampTz at)
{
	char		path[MAXPGPATH];
	TimestampTz listed;
	int			fd;

	waiting_path(path, database);
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

	waiting_path(path, database);
	set_time(path, at);
}

void
pcapi_slot_cancel(Oid database)
{
	char		path[MAXPGPATH];

	waiting_path(path, database);
	(void) unlink(path);
}

bool
pcapi_slot_is_requested(Oid database)
{
	char		path[MAXPGPATH];
	TimestampTz at;

	waiting_path(path, database);
	return get_time(path, &at);
}

/* pinterest_capi.DATABASE, or pinterest_capi.DATABASE.SLOT */
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

/* The next file of the list; slot is invalid where none is promised, *at is PG_INT64_MIN where the time makes no sense. */
static bool
next_file(DIR * dir, TimestampTz now, Oid *database, Oid *slot, TimestampTz *at)
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
		if (*at > now + PUT_OFF_MAX)
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
		if (OidIsValid(slot) && at < now - PROMISE_HOLDS)
		{
			char		from[MAXPGPATH];
			char		to[MAXPGPATH];

			promise_path(from, database, slot);
			waiting_path(to, database);
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

	waiting_path(from, database);
	promise_path(to, database, slot);
	set_time(from, GetCurrentTimestamp());
	return rename(from, to) == 0;
}

Oid
pcapi_slot_claim(Oid slot, TimestampTz until)
{
	DIR		   *dir = AllocateDir(PCAPI_TMP_DIR);
	Oid			taken = InvalidOid;
	Oid			database;
	Oid			promised_to;
	TimestampTz at;

	if (dir == NULL)
		return InvalidOid;
	while (!OidIsValid(taken) && next_file(dir, until, &database, &promised_to, &at))
	{
		char		from[MAXPGPATH];
		char		to[MAXPGPATH];

		if (promised_to != slot)
			continue;
		promise_path(from, database, slot);
		waiting_path(to, database);
		if (rename(from, to) != 0)
			continue;
		set_time(to, until);
		taken = database;
	}
	FreeDir(dir);
	return taken;
}
