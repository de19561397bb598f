# shellcheck shell=bash
# Looking into what runs while tools/check does; sourced by it.  $INSTRUMENT is
#
#   coverage    gcov: which lines and functions of src/ the tests reach
#   undefined   UBSan in the library and the program
#   thread      ThreadSanitizer in the program, whose dashboard has a thread a connection
#   valgrind    memcheck over the whole server; only errors in our code count
#
# tools/coverage, tools/sanitize and tools/valgrind set it.  What was found is
# written to $WORK/log and counted as failures.

# The flags for UBSan: what -fsanitize=undefined leaves out and C does not define
UNDEFINED="-fsanitize=undefined,float-cast-overflow -fno-omit-frame-pointer"

# Before the build.  COPT is PostgreSQL's own variable for such flags; the
# makefiles under test/ heed it, too.
instrument_build()
{
	case $INSTRUMENT in
	coverage)
		# -O0: a line is a line.  The server's headers warn of -D_FORTIFY_SOURCE then.
		export COPT="--coverage -fprofile-update=atomic -O0 -Wno-cpp"
		# What writes the counts when a process ends by _exit(): a part of the
		# library, and one that catches the call
		# shellcheck disable=SC2015 # either may fail
		cp test/instrument/coverage_dump.c "$SRC/src/base/" &&
			"${CC:-cc}" -shared -fPIC -O -o "$WORK/catch_exit.so" \
				test/instrument/catch_exit.c || die "cannot build what catches _exit()"
		;;
	undefined)
		export COPT=$UNDEFINED
		export UBSAN_OPTIONS="print_stacktrace=1:log_path=$WORK/log/ubsan"
		;;
	thread)
		export TSAN_OPTIONS="exitcode=0:log_path=$WORK/log/tsan"
		;;
	valgrind)
		# Nothing is inlined, so that an error names the function; all waits are longer
		export COPT="-Og -g"
		export PGCTLTIMEOUT=300 PG_TEST_TIMEOUT_DEFAULT=900
		;;
	*) die "no instrument \"$INSTRUMENT\"" ;;
	esac
	[ "$(id -u)" -ne 0 ] || chown -R "$SERVER_USER": "$SRC/src"
}

# After the build: put a script in the place of the server that starts it as it must
# be.  A server's own programs are not looked into: initdb's, above all.
instrument_server()
{
	local start

	case $INSTRUMENT in
	thread)
		# The program once more, in the place of the one that is installed.  The server
		# has no threads of ours but the sender's, which test/unit runs so.
		as_user rm -f "$SRC"/src/cli/defer "$SRC"/src/cli/*.o "$SRC"/src/cli/*/*.o
		as_user make -C "$SRC" -j "$JOBS" with_llvm=no COPT="-fsanitize=thread -O1 -g" install-cli \
			>"$WORK/log/thread.log" 2>&1 || { tail -n 40 "$WORK/log/thread.log" >&2; die "the build with TSan failed"; }
		return 0
		;;
	coverage) start="LD_PRELOAD=$WORK/catch_exit.so\${LD_PRELOAD:+:\$LD_PRELOAD} exec -a \"\$0\"" ;;
	valgrind)
		start="exec valgrind --quiet --log-file=$WORK/log/valgrind.%p --fullpath-after= \
--num-callers=40 --error-limit=no --suppressions=$SRC/test/instrument/valgrind.supp"
		;;
	*) return 0 ;;
	esac
	mv "$BIN/postgres" "$BIN/postgres.bin" || die "cannot replace the server"
	cat >"$BIN/postgres" <<-END
		#!/bin/bash
		case \${1:-} in
		-V | -C | -\\? | --*) [ "\${1#--cluster}" != "\${1:-}" ] || exec -a "\$0" "\$0.bin" "\$@" ;;
		esac
		$start "\$0.bin" "\$@"
	END
	chmod 755 "$BIN/postgres"
}

# Errors of valgrind that have a line of ours in their stack, each once
valgrind_errors()
{
	cat "$WORK"/log/valgrind.* 2>/dev/null | sed 's/^==[0-9]*== \{0,1\}//' |
		awk -v RS= -v ours="$SRC/src/" 'index($0, ours) {
			gsub(ours, "src/"); gsub(/ 0x[0-9A-F]+/, "")
			if (!seen[$0]++) printf "%s\n\n", $0 }'
}

# At the end.  Prints what was found; sets $found to the number of findings.
instrument_report()
{
	found=0
	case $INSTRUMENT in
	coverage)
		as_user python3 "$SRC/tools/coverage-report" "$SRC" \
			${SUITES_CHOSEN:+--part} >"$WORK/log/coverage.txt" 2>&1 || found=1
		cat "$WORK/log/coverage.txt"
		;;
	undefined)
		# A program writes where UBSAN_OPTIONS says, a library that is loaded later
		# to the server's log
		grep -rhE -A 12 '^[^ ]+: runtime error: ' "$WORK"/log/ubsan.* "$WORK"/log/*.log \
			"$WORK/tap/tmp_check/log" >"$WORK/log/undefined.txt" 2>/dev/null
		found=$(grep -E ': runtime error: ' "$WORK/log/undefined.txt" | sort -u | wc -l)
		head -n 200 "$WORK/log/undefined.txt"
		;;
	thread)
		cat "$WORK"/log/tsan.* >"$WORK/log/threads.txt" 2>/dev/null
		found=$(grep -c '^WARNING: ThreadSanitizer' "$WORK/log/threads.txt")
		head -n 200 "$WORK/log/threads.txt"
		;;
	valgrind)
		valgrind_errors >"$WORK/log/errors.txt"
		found=$(grep -c '^$' "$WORK/log/errors.txt")
		head -n 400 "$WORK/log/errors.txt"
		;;
	esac
	say "$INSTRUMENT: $found found"
}
