/*
 * system_certs.c
 *	  System authorities that a test chooses, for a server that is started with
 *	  this in LD_PRELOAD: OpenSSL's files in /etc/ssl/certs are read from the
 *	  folder named by TEST_CERTS, if it exists.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYSTEM	"/etc/ssl/certs"

static const char *
elsewhere(const char *path, char *to)
{
	const char *folder = getenv("TEST_CERTS");

	if (folder == NULL || strncmp(path, SYSTEM, strlen(SYSTEM)) != 0 ||
		(path[strlen(SYSTEM)] != '/' && path[strlen(SYSTEM)] != '\0'))
		return path;
	snprintf(to, PATH_MAX, "%s%s", folder, path + strlen(SYSTEM));
	return access(to, F_OK) == 0 ? to : path;
}

int
stat(const char *restrict path, struct stat *restrict st)
{
	static int	(*next) (const char *, struct stat *);
	char		to[PATH_MAX];

	if (next == NULL)
		*(void **) &next = dlsym(RTLD_NEXT, "stat");
	return next(elsewhere(path, to), st);
}

/* Releases of OpenSSL differ: 3.0.22 reads the folder, 3.0.19 files by their names. */
int
lstat(const char *restrict path, struct stat *restrict st)
{
	static int	(*next) (const char *, struct stat *);
	char		to[PATH_MAX];

	if (next == NULL)
		*(void **) &next = dlsym(RTLD_NEXT, "lstat");
	return next(elsewhere(path, to), st);
}

DIR *
opendir(const char *path)
{
	static DIR *(*next) (const char *);
	char		to[PATH_MAX];

	if (next == NULL)
		*(void **) &next = dlsym(RTLD_NEXT, "opendir");
	return next(elsewhere(path, to));
}

FILE *
fopen(const char *restrict path, const char *restrict mode)
{
	static FILE *(*next) (const char *, const char *);
	char		to[PATH_MAX];

	if (next == NULL)
		*(void **) &next = dlsym(RTLD_NEXT, "fopen");
	return next(elsewhere(path, to), mode);
}

FILE *
fopen64(const char *restrict path, const char *restrict mode)
{
	return fopen(path, mode);
}
