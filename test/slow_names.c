/*
 * slow_names.c
 *	  A name server that doesn't answer, for a server that is started with this
 *	  in LD_PRELOAD: resolving a name below slow.example blocks until the file
 *	  named by TEST_NAMES exists, and then fails.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
getaddrinfo(const char *restrict node, const char *restrict service,
			const struct addrinfo *restrict hints, struct addrinfo **restrict result)
{
	static int	(*next) (const char *, const char *, const struct addrinfo *, struct addrinfo **);
	const char *path = getenv("TEST_NAMES");
	const char *name = node ? strstr(node, "slow.example") : NULL;

	if (path && name)
	{
		while (access(path, F_OK) != 0)
			usleep(10000);
		return EAI_NONAME;
	}
	if (next == NULL)
		*(void **) &next = dlsym(RTLD_NEXT, "getaddrinfo");
	return next(node, service, hints, result);
}
