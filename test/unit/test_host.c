/*
 * test_host.c
 *	  Tell the same server from a copy of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/host.h"
#include "tap.h"

/* Return a typical server: one machine, two adapters, a file system with times of birth. */
static PcapiHost
some_server(void)
{
	PcapiHost	h = {.name = "shop-db", .has_machine = true, .has_boot = true, .n_adapters = 2,
		.device = 65024, .inode = 4711, .born = INT64_C(1795803828123456789)};

	memset(h.machine, 1, sizeof(h.machine));
	memset(h.boot, 2, sizeof(h.boot));
	memset(h.adapters[0], 3, sizeof(h.adapters[0]));
	memset(h.adapters[1], 4, sizeof(h.adapters[1]));
	return h;
}

static PcapiHost a,
			b;

/* Start from two equal descriptions. */
static void
begin(void)
{
	a = b = some_server();
}

/* The two must be the same server, whichever is asked about. */
static void
same(const char *what)
{
	tap_ok(pcapi_host_same_server(&a, &b) && pcapi_host_same_server(&b, &a), "the same: %s", what);
}

/* The two must be different servers, whichever is asked about. */
static void
copy(const char *what)
{
	tap_ok(!pcapi_host_same_server(&a, &b) && !pcapi_host_same_server(&b, &a), "a copy: %s", what);
}

/* The machine of b has been restarted. */
static void
started_again(void)
{
	memset(b.boot, 9, sizeof(b.boot));
}

/* b runs in another container. */
static void
another_container(void)
{
	memset(b.machine, 8, sizeof(b.machine));
	strcpy(b.name, "3f2a9c");
	b.n_adapters = 0;
}

/* Change one fact after another of b. */
static void
test_servers(void)
{
	begin();
	same("nothing has changed");
	started_again();
	b.device = 1;
	same("started again, with other device numbers");
	b.born = 0;
	same("the file system doesn't tell any more when it was born");
	b.n_adapters = 0;
	same("no adapter can be seen");
	b.n_adapters = 2;
	memset(b.adapters[0], 7, sizeof(b.adapters[0]));
	same("one of two adapters was replaced");

	begin();
	b.inode = 4712;
	copy("the file is another one, on the same machine");
	begin();
	b.born++;
	copy("an inode that was used again, a moment later");

	begin();
	started_again();
	memset(b.machine, 8, sizeof(b.machine));
	copy("a snapshot of the disk on another machine");
	begin();
	started_again();
	memset(b.adapters, 8, sizeof(b.adapters));
	copy("a clone of the virtual machine that kept its machine-id");
	begin();
	started_again();
	strcpy(b.name, "staging-db");
	copy("a clone that kept its machine-id, under another name");
	begin();
	b.device = 65025;
	memset(b.machine, 8, sizeof(b.machine));
	copy("a snapshot of the disk, mounted beside it for another container");

	begin();
	another_container();
	same("a container that was made anew on the same disk");
	started_again();
	copy("a container that was made anew after a start of the machine, or elsewhere");
	begin();
	strcpy(b.name, "new-name");
	same("a host that was renamed");
	strcpy(b.name, "SHOP-DB");
	started_again();
	same("the case of a name doesn't matter");

	begin();
	a.has_machine = b.has_machine = false;
	started_again();
	same("no machine has an id, all else is the same");
	begin();
	a.has_machine = false;
	started_again();
	copy("an id on one side alone, after a start");
	begin();
	a.has_boot = b.has_boot = false;
	memset(b.machine, 8, sizeof(b.machine));
	copy("no kernel tells of its start, on another machine");
}

/* Compare names with entries of a list. */
static void
test_names(void)
{
	tap_ok(pcapi_host_matches("shop-1", "shop-1"), "a name");
	tap_ok(pcapi_host_matches("Shop-1", "sHOP-1"), "a name, case doesn't matter");
	tap_ok(!pcapi_host_matches("shop-10", "shop-1"), "a name that is longer");
	tap_ok(pcapi_host_matches("shop-10", "shop-*"), "any end");
	tap_ok(!pcapi_host_matches("staging-shop-1", "shop-*"), "but not any beginning");
	tap_ok(pcapi_host_matches("whatever", "*"), "any name");
	tap_ok(!pcapi_host_matches("shop-1", ""), "no name");
}

/* Read lines of /proc/self/mountinfo. */
static void
test_containers(void)
{
	char		id[256];

	tap_ok(pcapi_host_container("601 590 8:1 /var/lib/docker/containers/3f2a9c/hostname /etc/hostname rw,relatime - ext4 /dev/sda1 rw",
								id, sizeof(id)), "docker");
	tap_is(id, "/var/lib/docker/containers/3f2a9c/hostname", "its container's id");
	tap_ok(pcapi_host_container("9 8 8:1 /var/lib/kubelet/pods/1b9d-42/etc-hosts /etc/hosts rw - ext4 /dev/sda1 rw",
								id, sizeof(id)), "Kubernetes");
	tap_is(id, "/var/lib/kubelet/pods/1b9d-42/etc-hosts", "its pod's id");
	tap_ok(!pcapi_host_container("22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw", id, sizeof(id)), "the root is none");
	tap_ok(!pcapi_host_container("22 1 8:1 /x /etc/hosts.d rw - ext4 /dev/sda1 rw", id, sizeof(id)), "a name that begins alike");
	tap_ok(!pcapi_host_container("", id, sizeof(id)), "an empty line");
}

/* Describe this machine, a file and its copy. */
static void
test_here(void)
{
	char		file[] = "/var/tmp/pinterest_capi_host_XXXXXX";
	char		other[] = "/var/tmp/pinterest_capi_host_XXXXXX";
	char		moved[sizeof(file) + 8];
	int			fd = mkstemp(file);
	int			fd2 = mkstemp(other);

	tap_ok(fd >= 0 && fd2 >= 0, "two files");
	close(fd);
	close(fd2);
	tap_ok(pcapi_host_describe(&a, file) && pcapi_host_describe(&b, file), "described");
	same("a file and itself");
	snprintf(moved, sizeof(moved), "%s.moved", file);
	tap_ok(rename(file, moved) == 0 && pcapi_host_describe(&b, moved), "under another name");
	same("a file that was moved");
	tap_ok(pcapi_host_describe(&b, other), "another file");
	copy("another file");
	tap_ok(pcapi_host_same_machine(&a, &b), "on the same machine");
	unlink(moved);
	unlink(other);
	tap_ok(!pcapi_host_describe(&b, moved), "no file, no description");
}

int
main(void)
{
	test_servers();
	test_names();
	test_containers();
	test_here();
	return tap_done();
}
