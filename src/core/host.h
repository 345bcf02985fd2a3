/*
 * host.h
 *	  On which machine, and in which copy of its files, a server runs.
 *
 * What is needed to tell a server from a copy of it.  A copy of the files has
 * other inodes and times of birth; a copy of the disk below them is on another
 * machine.  What names a machine is kept as a digest only.
 */
#ifndef PCAPI_HOST_H
#define PCAPI_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCAPI_HOST_NAME_MAX		255
#define PCAPI_HOST_DIGEST		32
#define PCAPI_HOST_ADAPTER		8	/* bytes of an adapter's digest */
#define PCAPI_HOST_ADAPTERS		16

typedef struct PcapiHost
{
	char		name[PCAPI_HOST_NAME_MAX + 1];
	bool		has_machine;
	unsigned char machine[PCAPI_HOST_DIGEST];	/* of the machine's id, or the container's */
	bool		has_boot;
	unsigned char boot[PCAPI_HOST_DIGEST];	/* of the id that the kernel has from start to halt */
	int			n_adapters;		/* network adapters that are devices, not made by software */
	unsigned char adapters[PCAPI_HOST_ADAPTERS][PCAPI_HOST_ADAPTER];
	uint64_t	device;			/* where the file is */
	uint64_t	inode;
	int64_t		born;			/* ns since 1970; 0: the file system doesn't tell */
} PcapiHost;

/* Describe this machine and the file.  False: the file can't be looked at, errno says why. */
extern bool pcapi_host_describe(PcapiHost *host, const char *file);

/* The same file system's same file: it was never copied by reading and writing it. */
extern bool pcapi_host_same_file(const PcapiHost *a, const PcapiHost *b);

extern bool pcapi_host_same_machine(const PcapiHost *a, const PcapiHost *b);

/* The same file on the same machine, or on the same disk of a machine that has not been started since. */
extern bool pcapi_host_same_server(const PcapiHost *a, const PcapiHost *b);

/*
 * Compare a host's name with an entry of a list.  An entry may end with *, which
 * stands for any end; case doesn't matter.
 */
extern bool pcapi_host_matches(const char *name, const char *pattern);

/* The id of the container in a line of /proc/self/mountinfo; false when it has none. */
extern bool pcapi_host_container(const char *line, char *id, size_t size);

#endif							/* PCAPI_HOST_H */
