# keep.sh
#	  What test/run --keep keeps: a copy of the server's installation, into
#	  which the extension is installed, and a copy of the tree with what was
#	  built in it.  Sourced after lib.sh.
#
# There is one place for each tree and server.  The server's programs find their
# other folders by where they are themselves, so a copy needs no configuration.
# Whatever is kept may be deleted at any time.

# Print everything that a test needs and that is missing, by its package.
say_what_is_missing() {
	missing=
	[ -n "$(find_pg_config)" ] ||
		missing="$missing a PostgreSQL server with its headers (Debian: postgresql-server-dev-NN);"
	for needed in make:make cc:gcc curl-config:libcurl4-openssl-dev pkg-config:pkg-config node:nodejs openssl:openssl curl:curl flock:util-linux; do
		command -v "${needed%:*}" >/dev/null || missing="$missing ${needed%:*} (Debian: ${needed#*:});"
	done
	for needed in openssl/evp.h:libssl-dev utf8proc.h:libutf8proc-dev; do
		! command -v cc >/dev/null || echo "#include <${needed%:*}>" | cc -E -x c - >/dev/null 2>&1 ||
			missing="$missing ${needed%:*} (Debian: ${needed#*:});"
	done
	perl -MIPC::Run -e 1 2>/dev/null || missing="$missing Perl's IPC::Run (Debian: libipc-run-perl);"
	[ -z "$missing" ] || die "missing:$missing test/run without --keep installs it"
}

# Print the folder for all kept files.  As root it must be one that the
# clusters' user can read, and that no other user can have made.
kept_base() {
	if [ -n "${PINTEREST_CAPI_KEEP:-}" ]; then
		base=$PINTEREST_CAPI_KEEP
	elif [ "$(id -u)" = 0 ]; then
		base=${TMPDIR:-/tmp}/pinterest_capi-kept.0
	else
		base=${XDG_CACHE_HOME:-$HOME/.cache}/pinterest_capi
	fi
	mkdir -p "$base"
	[ -O "$base" ] && [ ! -L "$base" ] || die "$base belongs to somebody else; set PINTEREST_CAPI_KEEP"
	chmod 755 "$base"
	base=$(cd "$base" && pwd -P)
}

# folder of the server: copy it to the same path below $prefix
copy_folder() {
	[ ! -e "$prefix$1" ] || return 0
	mkdir -p "$prefix$1"
	tar -C "$1" --exclude=./bitcode -c . | tar -C "$prefix$1" -x
}

# folder of the server that is only read: link to it, unless another copy
# contains it
link_folder() {
	[ ! -e "$prefix$1" ] || return 0
	mkdir -p "$(dirname "$prefix$1")"
	ln -s "$1" "$prefix$1"
}

# Copy the server to $prefix, again when the server itself has changed.
copy_server() {
	server=$("$PG_CONFIG" --bindir)/postgres
	stamp=$(ls -lL --time-style=full-iso "$server")
	if [ "$(cat "$prefix.stamp" 2>/dev/null)" != "$stamp" ]; then
		say "copying the server's installation to $prefix ..."
		rm -rf "$prefix"
		for folder in --bindir --pkglibdir --sharedir; do
			copy_folder "$("$PG_CONFIG" $folder)"
		done
		for folder in --includedir-server --pkgincludedir --includedir --libdir --localedir; do
			link_folder "$("$PG_CONFIG" $folder)"
		done
		say "$stamp" >"$prefix.stamp"
	fi
	PG_CONFIG=$prefix$("$PG_CONFIG" --bindir)/pg_config
}

# Files deleted in the tree are deleted in the copy, too; times of change are
# copied, so make sees which files are new.
update_tree() {
	copy_tree
	(cd "$top" && find . -path ./.git -prune -o -type f -print | sort) >"$work/files"
	if [ -e "$kept/files" ]; then
		comm -13 "$work/files" "$kept/files" | (cd "$src" && xargs -r -d '\n' rm -f --)
	fi
	cp "$work/files" "$kept/files"
}

# Do as build_and_install in the kept copies; $src is the kept copy of the
# tree.
build_kept() {
	PG_CONFIG=$(find_pg_config)
	kept_base
	kept=$base/$(say "$top $PG_CONFIG" | cksum | cut -d ' ' -f 1)
	prefix=$kept/server
	src=$kept/src
	mkdir -p "$src"
	exec 9>"$kept/lock"
	flock -n 9 || { say 'another test/run --keep of this tree runs; waiting for it ...'; flock 9; }
	copy_server
	update_tree
	# only the clusters' user may read its private files
	as_root() { "$@"; }
	build_and_install
	[ "$(id -u)" != 0 ] || chown -R postgres: "$src"
}
