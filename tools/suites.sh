# shellcheck shell=bash
# The suites of tests, for tools/check and tools/check-neighbours, which source this
# behind tools/lib.sh.  They run in $SRC and add to $passed and $failed, and what failed
# by name to $failures; $begun is when the suite began.  TESTS, PROVE_TESTS,
# CHECK_SETTINGS ...: see tools/check.

# count SUITE PASSED FAILED STATUS: add up; a bad status without a failure is one
count()
{
	local bad=$3

	[ "$4" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
	passed=$((passed + $2))
	failed=$((failed + bad))
	# shellcheck disable=SC2154 # the callers set $begun
	printf '%-10s %5d passed, %d failed   (%d s)\n' "$1" "$2" "$bad" $((SECONDS - begun))
}

# matches PATTERN FILE...: number of lines
matches() { cat "${@:2}" 2>/dev/null | grep -Ec "$1"; }

# The rules about the source that are checked in seconds; the rest is make lint
suite_source()
{
	local log=$WORK/log/source.log good=0 bad=0 command
	local commands=("python3 tools/check-layers --objects $SRC" "python3 tools/check-style")

	# other versions of it lay out some lines differently
	[[ "$(pg_bsd_indent --version 2>/dev/null)" != 'pg_bsd_indent 2.1.1 '* ]] || commands+=("tools/format --check")
	for command in "${commands[@]}"; do
		# shellcheck disable=SC2086 # words
		if $command >"$log" 2>&1; then
			good=$((good + 1))
		else
			cat "$log"
			bad=$((bad + 1))
		fi
	done
	count source $good $bad 0
}

# Print a log of "make check" without what went well: commands, their own counts of good
# checks; what is left, a report of a sanitizer for one, is whole
without_success()
{
	grep -vE '^(cc|gcc|clang|\./)|^	|^ok |^stat::|passed, 0 failed$|^make\[[0-9]+\]: (Entering|Leaving)' "$1" |
		head -n 600
}

# The test programs end with "N passed, N failed", or speak TAP, or just exit
suite_unit()
{
	local log=$WORK/log/unit.log status=0 good bad folder

	for folder in test/unit test/model test/fuzz; do
		[ ! -f "$folder/Makefile" ] ||
			as_user make -C "$folder" check PG_CONFIG="$PG_CONFIG" >>"$log" 2>&1 || status=$?
	done
	good=$(sed -n 's/^.*\b\([0-9]\{1,\}\) passed, \([0-9]\{1,\}\) failed.*$/\1/p' "$log" | paste -sd+ -)
	bad=$(sed -n 's/^.*\b\([0-9]\{1,\}\) passed, \([0-9]\{1,\}\) failed.*$/\2/p' "$log" | paste -sd+ -)
	if [ -z "$good" ]; then
		good=$(matches '^ok\b' "$log")
		bad=$(matches '^not ok\b' "$log")
		[ "$good$bad" != 00 ] || [ $status -ne 0 ] || good=1
	fi
	[ $status -eq 0 ] || without_success "$log"
	count unit $((good)) $((bad)) $status
}

# run_regress SUITE: "make installcheck" with one of REGRESS and ISOLATION.
# Up to 15 a line is "test name ... ok", from 16 on "ok 1 - name".
run_regress()
{
	local suite=$1 log=$WORK/log/$1.log status good bad
	local off=ISOLATION on=REGRESS

	[ "$suite" = regress ] || { off=REGRESS; on=ISOLATION; }
	as_user make installcheck "$off=" ${TESTS:+"$on=$TESTS"} \
		EXTRA_REGRESS_OPTS="--host=$PGHOST --port=$PGPORT --user=postgres ${CHECK_REGRESS_OPTS:-}" >"$log" 2>&1
	status=$?
	good=$(matches '^ok [0-9]+|^(test| +)[^#]* \.\.\. +ok\b' "$log")
	bad=$(matches '^not ok [0-9]+|^(test| +)[^#]* \.\.\. +FAILED\b' "$log")
	if [ $status -ne 0 ]; then
		grep -E 'FAILED|^not ok' "$log" || tail -n 30 "$log"
		failures+=$(grep -E 'FAILED|^not ok' "$log")$'\n'
		head -n 200 regression.diffs 2>/dev/null
	fi
	rm -rf "$WORK/log/$suite.results"
	cp -r results "$WORK/log/$suite.results" 2>/dev/null
	cp regression.diffs "$WORK/log/$suite.diffs" 2>/dev/null
	count "$suite" "$good" "$bad" $status
}

suite_regress() { ! ls test/sql/*.sql >/dev/null 2>&1 || run_regress regress; }
suite_isolation() { ! ls test/specs/*.spec >/dev/null 2>&1 || run_regress isolation; }

# The TAP tests make their own servers, one folder a file
suite_tap()
{
	local log=$WORK/log/tap.log pgxs status good bad file names

	# Their logs and folders are named after the file alone
	names=$(find test/t -name '*.pl' -printf '%f\n' | sort | uniq -d)
	[ -z "$names" ] || die "two TAP tests have one name: $names"
	pgxs=$("$PG_CONFIG" --pgxs)
	pgxs=${pgxs%/makefiles/pgxs.mk}
	build_test_modules
	rm -rf "$WORK/tap/out"
	as_user mkdir -p "$WORK/tap" "$WORK/tap/out"
	# PG_TEST_INITDB_EXTRA_OPTS and the like pass through; PGHOST must not
	printf '%s\n' "${CHECK_SETTINGS:-}" >"$WORK/tap/settings.conf"
	as_user env -u PGHOST -u PGPORT -u PGUSER TEMP_CONFIG="$WORK/tap/settings.conf" \
		PG_REGRESS="$pgxs/test/regress/pg_regress" top_builddir="$WORK/tap" \
		TESTDIR="$WORK/tap" TESTDATADIR="$WORK/tap/tmp_check" \
		TESTLOGDIR="$WORK/tap/tmp_check/log" \
		PROMTOOL="$(tools/promtool)" \
		PERL_TEST_HARNESS_DUMP_TAP="$WORK/tap/out" \
		prove -j "$PROVE_JOBS" -I "$pgxs/test/perl" -I test/t/lib \
		${PROVE_TESTS:-$(find test/t -name '*.pl' | sort)} >"$log" 2>&1
	status=$?
	good=$(find "$WORK/tap/out" -type f -exec cat {} + | grep -Ec '^ok\b|^not ok\b.*# TODO')
	bad=$(find "$WORK/tap/out" -type f -exec cat {} + | grep -E '^not ok\b' | grep -vc '# TODO')
	[ $status -eq 0 ] || cat "$log"
	find "$WORK/tap/out" -type f -exec sed -n 's/^ok .*# skip /skipped: /p' {} +
	for file in $(sed -n 's/^\([^ ]*\.pl\) .*(Wstat: .*/\1/p' "$log"); do
		# One that died without a failed assertion counts too
		grep -q '^not ok' "$WORK/tap/out/$file" 2>/dev/null || bad=$((bad + 1))
		say "--- the end of the log of $file, and what failed in it"
		file=$WORK/tap/tmp_check/log/regress_log_$(basename "$file" .pl)
		tail -n 30 "$file"
		grep -A 12 'not ok ' "$file" | head -n 100
	done
	# Who sees only the last lines of all this sees what it was
	failures+=$(find "$WORK/tap/out" -type f -exec grep -H '^not ok\b' {} + | grep -v '# TODO' | sed "s|^$WORK/tap/out/||")$'\n'
	count tap "$good" "$bad" $status
}
