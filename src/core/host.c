/*
 * host.c
 *	  Describe the machine, and the copy of its files, that a server runs on.
 *
 * Most facts come from Linux's /proc and /sys.  Where a system lacks these files
 * the fact is missing, and the other facts decide.  The decision whether a server
 * may send is queue/sending_server.c's.
 */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE				/* statx */
#endif

#include "core/host.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/sha256.h"

/* Read the first word of a short file; false if there is none. */
static bool
read_line(const char *path, char *line, size_t size)
{
	FILE	   *f = fopen(path, "re");
	bool		ok;
	size_t		len;

	if (f == NULL)
		return false;
	ok = fgets(line, (int) size, f) != NULL;
	fclose(f);
	len = ok ? strcspn(line, " \t\r\n") : 0;
	line[len] = '\0';
	return len > 0;
}

/* Hash an id with a prefix of our own, so that the digest equals no other program's of the same id. */
static bool
digest(const char *kind, const char *id, unsigned char out[PCAPI_HOST_DIGEST])
{
	char		text[2048];

	snprintf(text, sizeof(text), "pinterest_capi %s %s", kind, id);
	return pcapi_sha256(text, strlen(text), out);
}

/*
 * Read the container's id from a line of /proc/self/mountinfo.  A container's
 * runtime makes these files for each container and mounts them from a directory
 * whose name has the container's or the pod's id.  That id is new for each
 * container, while a machine-id in an image is the same in all of them.
 */
bool
pcapi_host_container(const char *line, char *id, size_t size)
{
	static const char *const made[] = {"/etc/hostname", "/etc/hosts"};
	char		root[1024];
	char		mounted[1024];

	/* id, parent, device, root in that file system, mount point */
	if (sscanf(line, "%*s %*s %*s %1023s %1023s", root, mounted) != 2)
		return false;
	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++)
	{
		if (strcmp(mounted, made[i]) != 0)
			continue;
		snprintf(id, size, "%s", root);
		return true;
	}
	return false;
}

/* Find the id of the container that this process runs in; false if it runs in none. */
static bool
find_container(char *id, size_t size)
{
	FILE	   *f = fopen("/proc/self/mountinfo", "re");
	char		line[4096];
	bool		found = false;

	if (f == NULL)
		return false;
	while (!found && fgets(line, sizeof(line), f) != NULL)
		found = pcapi_host_container(line, id, size);
	fclose(f);
	return found;
}

/* Hash the ids of machine and container.  In a container both count: other containers may have its image's machine-id. */
static void
describe_machine(PcapiHost *host)
{
	static const char *const files[] = {"/etc/machine-id", "/var/lib/dbus/machine-id", "/etc/hostid"};
	char		machine[256] = "";
	char		container[1024] = "";
	char		both[sizeof(machine) + sizeof(container) + 1];

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (read_line(files[i], machine, sizeof(machine)))
			break;
	(void) find_container(container, sizeof(container));
	if (machine[0] == '\0' && container[0] == '\0')
		return;
	snprintf(both, sizeof(both), "%s %s", machine, container);
	host->has_machine = digest("machine", both, host->machine);
}

/* Hash the network adapters' addresses.  A clone of a virtual machine may keep its machine-id, but not its adapters. */
static void
describe_adapters(PcapiHost *host)
{
	DIR		   *dir = opendir("/sys/class/net");
	struct dirent *entry;

	if (dir == NULL)
		return;
	while (host->n_adapters < PCAPI_HOST_ADAPTERS && (entry = readdir(dir)) != NULL)
	{
		char		path[512];
		char		address[64];
		unsigned char whole[PCAPI_HOST_DIGEST];

		snprintf(path, sizeof(path), "/sys/class/net/%s/device", entry->d_name);
		if (entry->d_name[0] == '.' || access(path, F_OK) != 0)
			continue;
		snprintf(path, sizeof(path), "/sys/class/net/%s/address", entry->d_name);
		if (!read_line(path, address, sizeof(address)) ||
			strspn(address, "0:") == strlen(address) ||
			!digest("adapter", address, whole))
			continue;
		memcpy(host->adapters[host->n_adapters++], whole, PCAPI_HOST_ADAPTER);
	}
	closedir(dir);
}

/* Read the file's device, inode and time of birth; false if that fails. */
static bool
describe_file(PcapiHost *host, const char *file)
{
	struct stat st;

	if (stat(file, &st) != 0)
		return false;
	host->device = (uint64_t) st.st_dev;
	host->inode = (uint64_t) st.st_ino;
#if defined(__linux__) && defined(STATX_BTIME)
	{
		struct statx stx;

		if (statx(AT_FDCWD, file, 0, STATX_BTIME, &stx) == 0 && (stx.stx_mask & STATX_BTIME) != 0)
			host->born = stx.stx_btime.tv_sec * INT64_C(1000000000) + stx.stx_btime.tv_nsec;
	}
#endif
	return true;
}

/* Describe this machine and the file. */
bool
pcapi_host_describe(PcapiHost *host, const char *file)
{
	char		id[128];

	memset(host, 0, sizeof(PcapiHost));
	if (!describe_file(host, file))
		return false;
	if (gethostname(host->name, sizeof(host->name)) != 0)
		host->name[0] = '\0';
	host->name[sizeof(host->name) - 1] = '\0';
	describe_machine(host);
	describe_adapters(host);
	if (read_line("/proc/sys/kernel/random/boot_id", id, sizeof(id)))
		host->has_boot = digest("boot", id, host->boot);
	return true;
}

/* Compare inodes and, where both are known, times of birth. */
bool
pcapi_host_same_file(const PcapiHost *a, const PcapiHost *b)
{
	return a->inode == b->inode &&
		(a->born == b->born || a->born == 0 || b->born == 0);
}

/* Has the kernel run without a restart between the two? */
static bool
same_boot(const PcapiHost *a, const PcapiHost *b)
{
	return a->has_boot && b->has_boot && memcmp(a->boot, b->boot, sizeof(a->boot)) == 0;
}

/* Have both adapters, but none in common? */
static bool
other_adapters(const PcapiHost *a, const PcapiHost *b)
{
	for (int i = 0; i < a->n_adapters; i++)
		for (int k = 0; k < b->n_adapters; k++)
			if (memcmp(a->adapters[i], b->adapters[k], PCAPI_HOST_ADAPTER) == 0)
				return false;
	return a->n_adapters > 0 && b->n_adapters > 0;
}

/* Compare machine, name and adapters. */
bool
pcapi_host_same_machine(const PcapiHost *a, const PcapiHost *b)
{
	return a->has_machine == b->has_machine &&
		(!a->has_machine || memcmp(a->machine, b->machine, sizeof(a->machine)) == 0) &&
		strcasecmp(a->name, b->name) == 0 &&
		!other_adapters(a, b);
}

/*
 * Compare the files, and the devices or the machines.  The kernel assigns device
 * numbers at each start, so they count only until the next one.  Until then they
 * are enough: a container that was recreated on the same disk, or a host that was
 * renamed, is still the same server.
 */
bool
pcapi_host_same_server(const PcapiHost *a, const PcapiHost *b)
{
	if (!pcapi_host_same_file(a, b))
		return false;
	return (same_boot(a, b) && a->device == b->device) || pcapi_host_same_machine(a, b);
}

/* Compare a host's name with an entry of a list. */
bool
pcapi_host_matches(const char *name, const char *pattern)
{
	size_t		len = strlen(pattern);

	if (len > 0 && pattern[len - 1] == '*')
		return strncasecmp(name, pattern, len - 1) == 0;
	return strcasecmp(name, pattern) == 0;
}
