# lib.sh
#	  What test/run and demo/run share: packages, a build in a copy of the tree,
#	  installation, and throw-away clusters.  Sourced; $top is the tree.
#
# Clusters that were not made here are never touched.  As root, whatever
# PostgreSQL refuses to run as root runs as the user postgres; as an ordinary
# user sudo is needed for packages and installation alone.

case $- in *e*) ;; *) set -e ;; esac

# settings meant for another cluster
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

# Run a command as the clusters' user.
as_owner() {
	if [ "$(id -u)" = 0 ]; then
		(cd "$work" && runuser -u postgres -- env HOME="$work" "$@")
	else
		"$@"
	fi
}

# Print the server to build for: PG_CONFIG, or the newest one that has what a
# build needs.
find_pg_config() {
	if [ -n "${PG_CONFIG:-}" ]; then
		say "$PG_CONFIG"
		return
	fi
	for candidate in $(ls -d /usr/lib/postgresql/*/bin/pg_config 2>/dev/null | sort -V -r) "$(command -v pg_config || :)"; do
		[ -x "$candidate" ] || continue
		# The client's package has a pg_config and PGXS, too, but no headers.
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

# what, command...: run the command with its output in a file.  A line every
# few seconds shows the progress; if the command fails, the end of its output
# is shown.
with_progress() {
	progress_what=$1
	shift
	progress_output=$(mktemp "${TMPDIR:-/tmp}/pinterest_capi.output.XXXXXX")
	say "$progress_what ..."
	# the command stays in the foreground, so that Ctrl-C ends it
	(
		progress_seconds=0
		while sleep 5 && kill -0 $$ 2>/dev/null; do
			progress_seconds=$((progress_seconds + 5))
			# a compiler's command ends with the file's name
			progress_line=$(tail -n 1 "$progress_output" 2>/dev/null | tr '\r' '\n' | tail -n 1 | sed 's/.*\(.\{70\}\)$/...\1/')
			printf '  %3d s  %s\n' "$progress_seconds" "$progress_line"
		done
	) &
	progress_ticker=$!
	progress_status=0
	"$@" >"$progress_output" 2>&1 || progress_status=$?
	kill "$progress_ticker" 2>/dev/null || :
	wait "$progress_ticker" 2>/dev/null || :
	[ $progress_status -eq 0 ] || tail -n 40 "$progress_output" | cut -c 1-300 >&2
	rm -f "$progress_output"
	return $progress_status
}

run_apt() {
	as_root true				# a password is asked for here, if at all
	with_progress "apt-get $1" as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get -q -y -o Dpkg::Use-Pty=0 "$@"
}

# Install the Debian packages that are missing, and upgrade none.
install_packages() {
	command -v apt-get >/dev/null || return 0
	# for roots that have all packages and no network
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
		say "packages that are missing:$missing"
		run_apt install --no-install-recommends --no-upgrade $missing
	fi
	[ -n "$server" ] || return 0

	version=$(apt-cache depends postgresql | sed -n 's/.*Depends: postgresql-\([0-9][0-9]*\)$/\1/p' | head -n 1)
	[ -n "$version" ] || die 'no PostgreSQL package is known to apt'
	say "packages that are missing: postgresql-$version postgresql-server-dev-$version"

	# with the distribution's own cluster, as for any user who installs a
	# server
	run_apt install --no-install-recommends --no-upgrade \
		"postgresql-$version" "postgresql-server-dev-$version"
}

# Install the missing ones of the packages named after $1, which says what
# they are for.
install_missing() {
	purpose=$1
	shift
	missing=
	for package in "$@"; do
		installed "$package" || missing="$missing $package"
	done
	[ -n "$missing" ] || return 0
	say "packages that are missing for $purpose:$missing"
	run_apt update
	run_apt install --no-install-recommends --no-upgrade $missing
}

# Install what only the bench needs; where a package can't be had, its
# measurement is skipped.
install_bench_packages() {
	[ -z "${PINTEREST_CAPI_NO_PACKAGES:-}" ] || return 0
	command -v apt-get >/dev/null || return 0
	install_missing 'the bench' valgrind
}

# Install what only the tests need: Debian packages, and npm's into
# $work/node_modules.  Tests skip checks whose program is missing and say so,
# as in roots without a network.
install_test_packages() {
	[ -z "${PINTEREST_CAPI_NO_PACKAGES:-}" ] || return 0
	command -v apt-get >/dev/null || return 0

	set -- chromium clang git libclang-rt-dev locales sqlsmith valgrind
	command -v npm >/dev/null || set -- "$@" npm
	# for a server that is not the distribution's this package may not exist
	repmgr=postgresql-$("$(find_pg_config)" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')-repmgr
	apt-cache show "$repmgr" >/dev/null 2>&1 || run_apt update
	! apt-cache show "$repmgr" >/dev/null 2>&1 || set -- "$@" "$repmgr"
	install_missing 'the tests' "$@"
	cp "$top/test/npm/package.json" "$top/test/npm/package-lock.json" "$top/test/npm/.npmrc" "$work/"
	npm ci --prefer-offline --ignore-scripts --no-audit --no-fund --prefix "$work" >"$work/npm.log" 2>&1 ||
		say "npm's packages can't be had, what needs them is left out: $(grep -m 1 'ERR! code' "$work/npm.log" || tail -n 1 "$work/npm.log")"
	export NODE_PATH="$work/node_modules"
	unpack_tools prometheus prometheus-sql-exporter prometheus-postgres-exporter
}

# Unpack Debian packages of which only the programs are needed into
# $work/tools, so that nothing is installed and no service is started.
# PINTEREST_CAPI_DEBS names a folder of packages that were fetched before.
unpack_tools() {
	mkdir -p "$work/debs" "$work/tools"
	[ -z "${PINTEREST_CAPI_DEBS:-}" ] || cp "$PINTEREST_CAPI_DEBS"/*.deb "$work/debs/"
	for package in "$@"; do
		if ! ls "$work/debs/${package}"_*.deb >/dev/null 2>&1; then
			apt-cache show "$package" >/dev/null 2>&1 || run_apt update
			(cd "$work/debs" && apt-get -q -o Acquire::Retries=0 download "$package") >"$work/apt.log" 2>&1 || {
				say "$package can't be had, what needs it is left out: $(tail -n 1 "$work/apt.log")"
				break
			}
		fi
		dpkg --fsys-tarfile "$work/debs/${package}"_*.deb | tar -x -C "$work/tools" ./usr/bin
	done
	rm -rf "$work/debs"
	export PATH="$work/tools/usr/bin:$PATH"
}

# Make the directory $work, which the caller removes at the end; the tree's
# copy is $src.
make_work() {
	work=$(mktemp -d "${TMPDIR:-/tmp}/pinterest_capi.XXXXXX")
	chmod 755 "$work"
	src="$work/src"
	mkdir "$src"
}

# Copy the tree without its build products, which may be another version's.
copy_tree() {
	script=pinterest_capi--$(sed -n "s/^default_version = '\(.*\)'/\1/p" "$top/pinterest_capi.control").sql
	(cd "$top" && tar -c --exclude=./.git --exclude='*.o' --exclude='*.so' --exclude='*.bc' \
		--exclude=./pinterest_capi.d --exclude='./src/*.d' --exclude='./test/modules/*.d' \
		--exclude="./$script" --exclude=./test/unit/bin --exclude=./test/fuzz/bin --exclude=./results \
		--exclude=./tmp_check --exclude=./log .) | tar -x -C "$src"
}

build_and_install() {
	PG_CONFIG=$(find_pg_config)
	[ -n "$PG_CONFIG" ] || die 'no PostgreSQL server with development files found; set PG_CONFIG'
	export PG_CONFIG
	bindir=$("$PG_CONFIG" --bindir)
	pgxs_dir=$(dirname "$(dirname "$("$PG_CONFIG" --pgxs)")")
	export PATH="$bindir:$PATH"

	with_progress 'building the extension' make -j 2 -C "$src" PG_CONFIG="$PG_CONFIG"
	as_root make -s -C "$src" PG_CONFIG="$PG_CONFIG" install >/dev/null
	[ "$(id -u)" != 0 ] || chown -R postgres: "$work"
}

# Print the versions that the build used.
versions() {
	say "PostgreSQL $("$PG_CONFIG" --version | sed 's/^PostgreSQL //; s/ (.*//'), libcurl $(curl-config --version | sed 's/^libcurl //')," \
		"OpenSSL $(pkg-config --modversion libcrypto), utf8proc $(pkg-config --modversion libutf8proc)"
}

# Make a cluster in $work/$1 with the settings on standard input, reached
# through $PGHOST and $PGPORT
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

# ---- throw-away Debian roots, for root alone ----

# $roots: PINTEREST_CAPI_ROOTS, whose roots are kept for the next run, or a temporary folder
make_roots() {
	[ "$(id -u)" = 0 ] || die "$0 makes roots, which needs root"
	installed mmdebstrap || { run_apt update; run_apt install --no-install-recommends mmdebstrap; }
	roots=${PINTEREST_CAPI_ROOTS:-}
	if [ -z "$roots" ]; then
		roots=$(mktemp -d "${TMPDIR:-/var/tmp}/pinterest_capi-roots.XXXXXX")
		trap 'status=$?; trap - EXIT; rm -rf --one-file-system "$roots"; exit $status' EXIT
		trap 'exit 130' INT TERM
	fi
	mkdir -p "$roots"
}

# what test/run needs in a root, besides the server
packages_of_tests=ca-certificates,make,gcc,libc6-dev,pkg-config,openssl,curl,perl,nodejs
packages_of_tests=$packages_of_tests,libcurl4-openssl-dev,libssl-dev,libutf8proc-dev,libipc-run-perl

# Make a root without the files that no test reads.
lean() {
	"$@" --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*'
}

# Print a hook of mmdebstrap that unpacks servers' development packages, which
# stand behind apt-get's options.  They are not installed: they depend on a whole
# compiler suite that no test needs.
headers_hook() {
	say "chroot \"\$1\" sh -ec 'cd /tmp
		apt-get -q download $1; for deb in postgresql-server-dev-*.deb; do dpkg -x \$deb /; done; rm -f *.deb'"
}

# Print the release that has this version of PostgreSQL: none has 16's
# headers, and 14 is too old.
suite_of() {
	case $1 in
		15) say bookworm ;;
		17) say trixie ;;
		18) say forky ;;
		19) say sid ;;
		*) return 1 ;;
	esac
}

# Print apt-get's options for a version that is in no release yet.
apt_target_of() {
	[ "$1" != 19 ] || say '-t experimental'
}

# name, suite, packages, options of mmdebstrap...: a root with them, made unless it is there
make_root_with() {
	[ ! -d "$roots/$1/usr" ] || return 0
	root_name=$1
	root_suite=$2
	root_packages=$3
	shift 3
	# What was interrupted is no root; its mounts go with their namespace.
	rm -rf --one-file-system "${roots:?}/$root_name.making"
	# A release's lists may be past their time of validity.  The hosts file is
	# the one of Debian's installer: localhost has two addresses.
	unshare --mount mmdebstrap --quiet --variant=apt \
		--aptopt='Acquire::Check-Valid-Until "false"' --aptopt='APT::Install-Recommends "false"' \
		--include="$root_packages" --customize-hook='printf "%s\n" "127.0.0.1	localhost" "127.0.1.1	debian" "" "::1	localhost ip6-localhost ip6-loopback" \
			"ff02::1	ip6-allnodes" "ff02::2	ip6-allrouters" >"$1"/etc/hosts' "$@" \
		"$root_suite" "$roots/$root_name.making" >"$roots/$root_name.log" 2>&1 || {
		tail -n 20 "$roots/$root_name.log" >&2
		rm -rf --one-file-system "${roots:?}/$root_name.making"
		return 1
	}
	mv "$roots/$root_name.making" "$roots/$root_name"
}

# name, version, packages, packages of the server, options of mmdebstrap...: a
# root of the release that has this version of PostgreSQL
make_root_for() {
	root_name=$1
	root_version=$2
	root_packages=$3
	root_server=$4
	shift 4
	[ -z "$(apt_target_of "$root_version")" ] || set -- \
		--customize-hook='sed "s/ sid / experimental /" "$1"/etc/apt/sources.list >"$1"/etc/apt/sources.list.d/experimental.list' \
		--customize-hook='chroot "$1" apt-get -q update' "$@"
	make_root_with "$root_name" "$(suite_of "$root_version")" "$root_packages" \
		"$@" --customize-hook="chroot \"\$1\" apt-get -q -y install $(apt_target_of "$root_version") $root_server"
}

# root, command...: run a command with processes and mounts of its own, which
# end with it; its network too, unless $root_network is set.  The shell is
# their init: it stays, and reaps orphaned processes, or a killed server would
# seem to run.
run_in_root() {
	unshare --uts ${root_network:---net} --mount --pid --fork --kill-child sh -ec '
		root=$1
		shift
		ip link set lo up 2>/dev/null || :
		mount -t proc proc "$root/proc"
		mount --bind /dev "$root/dev"
		mount --bind /dev/pts "$root/dev/pts"
		mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
		hostname debian
		status=0
		chroot "$root" "$@" || status=$?
		exit $status' sh "$@"
}

# root, folder in it: copy the tree as a clone would have it
copy_tree_to() {
	rm -rf "${1:?}/$2"
	mkdir -p "$1/$2"
	(cd "$top" && if [ -e .git ]; then git ls-files -z --cached --others --exclude-standard | tar -c --null -T -; else tar -c .; fi) |
		tar -x -C "$1/$2"
}
