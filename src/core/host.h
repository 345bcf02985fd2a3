/*
 * host.h
 *	  Describe the machine, and the copy of its files, that a server runs on.
 *
 * The description tells a server from a copy of it.  A copy of the files has
 * other inodes and times of birth; a copy of the disk below them is on another
 * machine.  Names and ids of a machine, but for the host's name, are kept as
 * digests.
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
	unsigned char machine[PCAPI_HOST_DIGEST];	/* of the machine's id and the container's */
	bool		has_boot;
	unsigned char boot[PCAPI_HOST_DIGEST];	/* of the id that the kernel has until it stops */
	int			n_adapters;		/* network adapters that are devices, not made by software */
	unsigned char adapters[PCAPI_HOST_ADAPTERS][PCAPI_HOST_ADAPTER];
	uint64_t	device;			/* the file's */
	uint64_t	inode;
	int64_t		born;			/* ns since 1970; 0: the file system has no time of birth */
} PcapiHost;

/* Describe this machine and the file; false, with errno: the file can't be read. */
extern bool pcapi_host_describe(PcapiHost *host, const char *file);

/* Is it the same file of a file system, never copied by reading and writing it? */
extern bool pcapi_host_same_file(const PcapiHost *a, const PcapiHost *b);

/* Is it the same machine or container, by ids, name and network adapters? */
extern bool pcapi_host_same_machine(const PcapiHost *a, const PcapiHost *b);

/* Is it the same file on the same machine, or on the same disk of a machine that has not been restarted since? */
extern bool pcapi_host_same_server(const PcapiHost *a, const PcapiHost *b);

/*
 * Does a host's name match an entry of a list?  An entry may end with *, which
 * stands for any characters; case doesn't matter.
 */
extern bool pcapi_host_matches(const char *name, const char *pattern);

/* Read the container's id from a line of /proc/self/mountinfo; false if it has none. */
extern bool pcapi_host_container(const char *line, char *id, size_t size);

#endif							/* PCAPI_HOST_H */
