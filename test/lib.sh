# lib.sh
#	  What test/run and demo/run share: packages, a build in a copy of the tree,
#	  installation, and throw-away clusters.  Sourced; $top is the tree.
#
# Clusters that were not made here are never touched.  As root, whatever
# PostgreSQL refuses to run as root runs as the user postgres; as an ordinary
# user sudo is needed for packages and installation alone.

case $- in *e*) ;; *) set -e ;; esac

# settings meant for somebody else's cluster
for variable in $(env | sed -n 's/^\(PG[A-Z]*\)=.*/\1/p'); do
	[ "$variable" = PG_CONFIG ] || unset "$variable"
done
unset variable MAKEFLAGS MAKELEVEL
export LC_ALL=C.UTF-8

say() { printf '%s\n' "$*"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# as who runs the clusters
as_owner() {
	if [ "$(id -u)" = 0 ]; then
		(cd "$work" && runuser -u postgres -- env HOME="$work" "$@")
	else
		"$@"
	fi
}

# the server to build for: PG_CONFIG, or the newest one that has what a build needs
find_pg_config() {
	if [ -n "${PG_CONFIG:-}" ]; then
		say "$PG_CONFIG"
		return
	fi
	for candidate in $(ls -d /usr/lib/postgresql/*/bin/pg_config 2>/dev/null | sort -V -r) "$(command -v pg_config || :)"; do
		[ -x "$candidate" ] || continue
		# the client's package has a pg_config too, and even PGXS, without the headers
		if [ -e "$("$candidate" --pgxs)" ] && [ -e "$("$candidate" --includedir-server)/postgres.h" ] &&
			[ -x "$("$candidate" --bindir)/postgres" ]; then
			say "$candidate"
			return
		fi
	done
}

installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# apt-get, which is heard only when it fails
run_apt() {
	output=$(as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 "$@" 2>&1) || {
		status=$?
		printf '%s\n' "$output" >&2
		return $status
	}
}

# Debian packages that are missing; none of those that are there is upgraded
install_packages() {
	command -v apt-get >/dev/null || return 0
	# for roots that have what is needed and no network
	[ -z "${PINTEREST_CAPI_NO_PACKAGES:-}" ] || return 0

	packages='build-essential pkg-config libcurl4-openssl-dev libssl-dev libutf8proc-dev
		openssl curl perl libipc-run-perl'
	command -v node >/dev/null || packages="$packages nodejs"
	missing=
	for package in $packages; do
		installed "$package" || missing="$missing $package"
	done
	server=
	if [ -z "$(find_pg_config)" ]; then
		server=yes
	fi
	[ -n "$missing$server" ] || return 0

	run_apt update
	if [ -n "$missing" ]; then
		say "installing:$missing"
		run_apt install --no-install-recommends --no-upgrade $missing
	fi
	[ -n "$server" ] || return 0

	version=$(apt-cache depends postgresql | sed -n 's/.*Depends: postgresql-\([0-9][0-9]*\)$/\1/p' | head -n 1)
	[ -n "$version" ] || die 'no PostgreSQL package is known to apt'
	say "installing: postgresql-$version postgresql-server-dev-$version"

	# The server's package makes a cluster of its own at its first installation.
	# Nobody asked for one here.  Where postgresql-common was there before, its
	# configuration is the administrator's; where it comes with us, it is told
	# so for the time being.
	if ! installed postgresql-common; then
		run_apt install --no-install-recommends postgresql-common
		conf=/etc/postgresql-common/createcluster.conf
		as_root cp -p "$conf" "$conf.before"
		as_root pg_conftool "$conf" set create_main_cluster off
		status=0
		run_apt install --no-install-recommends "postgresql-$version" || status=$?
		as_root mv "$conf.before" "$conf"
		[ $status -eq 0 ] || die "postgresql-$version could not be installed"
	fi
	run_apt install --no-install-recommends --no-upgrade \
		"postgresql-$version" "postgresql-server-dev-$version"
}

# What only the tests need: Debian packages, and npm's into $work/node_modules.
# Tests say so and leave out what isn't there, as in roots without a network.
install_test_packages() {
	[ -z "${PINTEREST_CAPI_NO_PACKAGES:-}" ] || return 0
	command -v apt-get >/dev/null || return 0

	missing=
	for package in chromium; do
		installed "$package" || missing="$missing $package"
	done
	command -v npm >/dev/null || missing="$missing npm"
	if [ -n "$missing" ]; then
		say "installing for the tests:$missing"
		run_apt update
		run_apt install --no-install-recommends --no-upgrade $missing
	fi
	cp "$top/test/npm/package.json" "$top/test/npm/package-lock.json" "$top/test/npm/.npmrc" "$work/"
	output=$(npm ci --prefer-offline --ignore-scripts --no-audit --no-fund --prefix "$work" 2>&1) ||
		die "npm: $output"
	export NODE_PATH="$work/node_modules"
}

# a directory of our own, which the caller removes at the end
make_work() {
	work=$(mktemp -d "${TMPDIR:-/tmp}/pinterest_capi.XXXXXX")
	chmod 755 "$work"
	mkdir "$work/src"
}

# the tree without what was built in it, so that nothing of another version comes along
copy_tree() {
	(cd "$top" && tar -c --exclude=./.git --exclude='*.o' --exclude='*.so' --exclude='*.bc' \
		--exclude='./pinterest_capi--*.sql' --exclude=./test/unit/bin --exclude=./test/fuzz/bin --exclude=./results \
		--exclude=./tmp_check --exclude=./log .) | tar -x -C "$work/src"
}

build_and_install() {
	PG_CONFIG=$(find_pg_config)
	[ -n "$PG_CONFIG" ] || die 'no PostgreSQL server with development files found; set PG_CONFIG'
	export PG_CONFIG
	bindir=$("$PG_CONFIG" --bindir)
	pgxs_dir=$(dirname "$(dirname "$("$PG_CONFIG" --pgxs)")")
	export PATH="$bindir:$PATH"

	make -s -j 2 -C "$work/src" PG_CONFIG="$PG_CONFIG"
	as_root make -s -C "$work/src" PG_CONFIG="$PG_CONFIG" install >/dev/null
	[ "$(id -u)" != 0 ] || chown -R postgres: "$work"
}

# a cluster in $work/$1 with the settings on standard input, reached through $PGHOST and $PGPORT
start_cluster() {
	cluster="$work/$1"
	as_owner "$bindir/initdb" -D "$cluster" -A trust -U postgres -N -E UTF8 --no-locale >/dev/null
	{
		printf "listen_addresses = ''\nunix_socket_directories = '%s'\nfsync = off\n" "$work"
		cat
	} | as_owner tee -a "$cluster/postgresql.conf" >/dev/null
	as_owner "$bindir/pg_ctl" -D "$cluster" -l "$work/$1.log" -s -w start
	export PGHOST="$work" PGPORT=5432 PGUSER=postgres
}

stop_cluster() {
	if [ -n "${cluster:-}" ] && [ -e "$cluster/postmaster.pid" ]; then
		as_owner "$bindir/pg_ctl" -D "$cluster" -s -w -m immediate stop
	fi
}
