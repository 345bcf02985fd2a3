# phase.sh
#	  One part of test/run: runs it, counts what its output asserts, and says how
#	  it went and how long it took.  Sourced after lib.sh, also by the shells that
#	  run TAP tests beside each other; so what is counted is lines in $work/counts.

# name, folder, command...: the command as the clusters' owner, with its output in
# FOLDER.out.  The folder has what a TAP test and its clusters wrote, if anything.
phase() {
	name=$1
	folder=$2
	shift 2
	log=$folder.out
	status=0
	begin=$(date +%s)
	as_owner "$@" >"$log" 2>&1 || status=$?
	seconds=$(($(date +%s) - begin))

	# TAP, and pg_regress of versions before 16
	good=$(grep -cE '^ok [0-9]+|^test .* \.\.\. ok|^passed: ' "$log") || :
	left_out=$(grep -ciE '^ok [0-9]+.*# skip|^1\.\.0 # skip' "$log") || :
	good=$((good - $(grep -ciE '^ok [0-9]+.*# skip' "$log" || :)))
	bad=$(grep -cE '^not ok [0-9]+|^test .* \.\.\. FAILED' "$log") || :
	todo=$(grep -cE '^not ok [0-9]+.*# TODO' "$log") || :
	bad=$((bad - todo))
	nothing=
	# a bad exit without a failed test: a crash, a wrong plan, a failed build
	[ $status -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
	if [ $status -eq 0 ] && [ "$good" -eq 0 ] && [ "$left_out" -eq 0 ]; then
		nothing="$name asserted nothing"
		bad=1
	fi
	say "$good $bad $left_out" >>"$work/counts"
	# in one write, so that parallel tests' lines don't mix
	tell_phase >"$folder.said"
	flock "$work/counts" cat "$folder.said"
}

tell_phase() {
	say "# $name, $seconds s"
	[ -z "$nothing" ] || say "$nothing"
	say "  $good passed, $bad failed, $left_out skipped"
	# a test's measurements, and reasons of skipped checks
	sed -n -e 's/^# result: /  /p' -e 's/^\(ok [0-9]*\|1\.\.0\) # [Ss][Kk][Ii][Pp][A-Z]* /  skipped: /p' "$log" | uniq
	if [ "$bad" -gt 0 ]; then
		grep -E -A 12 '^not ok|^test .* FAILED|^#   Failed|[Ee]rror:|^Bailout' "$log" | tail -n 200 || :
		tail -n 30 "$log"
		for written in "$folder"/tmp_check/log/*; do
			[ ! -s "$written" ] || { say "--- ${written##*/}"; tail -n 40 "$written"; }
		done
		for diffs in "$src/regression.diffs" "$src/output_iso/regression.diffs"; do
			[ ! -s "$diffs" ] || tail -n 200 "$diffs"
		done
	fi
}

# t/NAME.pl: run it in a folder of its own, so that the same test may run
# twice at once
run_tap() {
	name=$(basename "$1" .pl)
	folder=$(as_owner mktemp -d "$work/$name.XXX")
	phase "$name" "$folder" env TESTDIR="$folder" TESTDATADIR="$folder/tmp_check" TESTLOGDIR="$folder/tmp_check/log" \
		TMPDIR="$work" PATH="$src/test/shadow:$PATH" PG_REGRESS="$pgxs_dir/test/regress/pg_regress" \
		PERL5LIB="$pgxs_dir/test/perl" PG_TEST_PORT_DIR="$work/ports" PG_TEST_TIMEOUT_DEFAULT="${PG_TEST_TIMEOUT_DEFAULT:-60}" \
		sh -ec 'cd "$1"; exec perl "$2"' sh "$src" "$1"
	# clusters are large
	rm -rf "${folder:?}"
}

# n, t/NAME.pl...: run n tests at once
run_taps() {
	jobs=$1
	shift
	[ $# -gt 0 ] || return 0
	as_owner mkdir -p "$work/clusters" "$work/ports"
	printf '%s\n' "$@" | xargs -P "$jobs" -n 1 sh -ec 'top=$1 work=$2 src=$3 pgxs_dir=$4
		. "$top/test/lib.sh"
		. "$top/test/phase.sh"
		run_tap "$5"' sh "$top" "$work" "$src" "$pgxs_dir"
}
