/*
 * worker_lock.c
 *	  Advisory locks on a database: one worker runs, one session starts it.
 */
#include "pinterest_capi.h"

#include "queue/worker_lock.h"
#include "storage/lock.h"

/* any 32 bits that others are unlikely to take for an advisory lock */
#define LOCK_CLASS 0x50434150

static void
lock_tag(LOCKTAG *tag, int which)
{
	/* field 4 tells one-key, two-key and, with 3, our advisory locks apart */
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, LOCK_CLASS, which, 3);
}

bool
pcapi_lock(int which, bool session_lock)
{
	LOCKTAG		tag;

	lock_tag(&tag, which);
	return LockAcquire(&tag, ExclusiveLock, session_lock, true) != LOCKACQUIRE_NOT_AVAIL;
}

/* Those who look hold it for a moment only. */
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

/* Whether a worker of this database holds its lock; asks for a mode that nobody else uses. */
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
