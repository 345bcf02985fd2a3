/*
 * worker_lock.c
 *	  Advisory locks on a database: one worker runs, and one session starts it.
 */
#include "pinterest_capi.h"

#include "queue/worker_lock.h"
#include "storage/lock.h"

/* "PCAP" in ASCII: a number that applications hardly use for their advisory locks */
#define LOCK_CLASS 0x50434150

/* Fill in the tag of a lock on this database. */
static void
lock_tag(LOCKTAG *tag, int which)
{
	/* field 4 is 1 and 2 for the advisory locks that SQL can take (lockfuncs.c): 3 is no other's */
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, LOCK_CLASS, which, 3);
}

bool
pcapi_lock(int which, bool session_lock)
{
	LOCKTAG		tag;

	lock_tag(&tag, which);
	return LockAcquire(&tag, ExclusiveLock, session_lock, true) != LOCKACQUIRE_NOT_AVAIL;
}

void
pcapi_lock_alive(void)
{
	LOCKTAG		tag;

	lock_tag(&tag, PCAPI_LOCK_ALIVE);
	(void) LockAcquire(&tag, ExclusiveLock, true, false);
}

void
pcapi_unlock(int which, bool session_lock)
{
	LOCKTAG		tag;

	lock_tag(&tag, which);
	LockRelease(&tag, ExclusiveLock, session_lock);
}

/* ShareLock: no other code asks for this mode, so two sessions that ask don't conflict. */
bool
pcapi_alive_lock_is_held(void)
{
	LOCKTAG		tag;

	lock_tag(&tag, PCAPI_LOCK_ALIVE);
	if (LockAcquire(&tag, ShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	LockRelease(&tag, ShareLock, false);
	return false;
}
