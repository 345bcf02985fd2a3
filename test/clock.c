/*
 * clock.c
 *	  A wall clock that tests can set, for a server that is started with this
 *	  in LD_PRELOAD.  The first eight bytes of the file named by TEST_CLOCK say
 *	  how many seconds it is ahead of the machine's clock.
 *
 * Monotonic clocks are not changed, since they can't be set.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int64_t
ahead(void)
{
	static const volatile int64_t *seconds = NULL;

	if (seconds == NULL)
	{
		const char *path = getenv("TEST_CLOCK");
		int			fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
		void	   *map;

		if (fd < 0)
			return 0;
		map = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
		close(fd);
		if (map == MAP_FAILED)
			return 0;
		seconds = map;
	}
	return *seconds;
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	int			result = (int) syscall(SYS_clock_gettime, id, ts);

	if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		ts->tv_sec += ahead();
	return result;
}

int
gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
	struct timespec ts;
	int			result = clock_gettime(CLOCK_REALTIME, &ts);

	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return result;
}

time_t
time(time_t * to)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (to)
		*to = ts.tv_sec;
	return ts.tv_sec;
}
