# shellcheck shell=bash
# Helpers for the scripts beside this file (bash; source it from the top of the
# tree).  They build in a copy of the source, install into a private copy of the
# server's files and run throwaway servers there, all in one folder under /tmp
# that is removed at the end: nothing of the system is changed, several runs do
# not meet, and the checkout may be one that the server's user cannot read.
#
# Variables that a caller may set:
#   PG_CONFIG      which server (default: pg_config, else the newest that apt put
#                  in /usr/lib/postgresql)
#   DEFER_TMPDIR   where the folder goes (default /tmp; socket paths must be short)
#   JOBS           processes for make (default: number of processors)
#
# After make_workdir: $WORK the folder, $SRC the source in it, $BIN the server's
# programs, $PGHOST its sockets.

set -u
export LC_ALL=C
unset PGDATA PGHOST PGHOSTADDR PGPORT PGDATABASE PGUSER PGPASSWORD PGPASSFILE \
	PGSERVICE PGSERVICEFILE PGOPTIONS PGCLIENTENCODING PGTZ PSQLRC MAKEFLAGS MFLAGS

: "${JOBS:=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)}"
WORK=
KEEP_WORK=

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# Run as the unprivileged user that servers and tests run as.  Never as root: a
# PostgreSQL server refuses that.
as_user()
{
	if [ "$(id -u)" -ne 0 ]; then
		"$@"
	else
		setpriv --reuid="$SERVER_USER" --regid="$(id -g "$SERVER_USER")" \
			--init-groups -- env HOME="$WORK" USER="$SERVER_USER" \
			LOGNAME="$SERVER_USER" "$@"
	fi
}

# Does the server that this pg_config belongs to have all that we need?
usable_pg_config()
{
	local pgxs bindir

	pgxs=$("$1" --pgxs 2>/dev/null) && [ -f "$pgxs" ] &&
		bindir=$("$1" --bindir) && [ -x "$bindir/postgres" ] &&
		[ -x "$bindir/initdb" ] && [ -f "$("$1" --includedir-server)/postgres.h" ]
}

# Print the pg_config to use; false: there is none
find_pg_config()
{
	local candidate

	if [ -n "${PG_CONFIG:-}" ]; then
		usable_pg_config "$PG_CONFIG" && say "$PG_CONFIG"
		return
	fi
	for candidate in pg_config \
		$(ls -d /usr/lib/postgresql/*/bin/pg_config 2>/dev/null | sort -Vr); do
		if usable_pg_config "$candidate"; then
			say "$candidate"
			return
		fi
	done
	return 1
}

# The major version of the server that this pg_config belongs to
server_major() { "$1" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/'; }

# Make $WORK with a copy of the source, and see to it that it goes away
make_workdir()
{
	local base=${DEFER_TMPDIR:-/tmp}

	if [ "$(id -u)" -eq 0 ]; then
		SERVER_USER=postgres
		id -u "$SERVER_USER" >/dev/null 2>&1 || SERVER_USER=nobody
	else
		SERVER_USER=$(id -un)
	fi
	WORK=$(mktemp -d "$base/defer.XXXXXX") || die "cannot write to $base"
	# shellcheck disable=SC2154 # the trap's own
	trap 'status=$?; trap - EXIT; clean_up; exit $status' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	SRC=$WORK/src
	mkdir "$SRC" "$WORK/sockets" "$WORK/log"
	tar -cf - --exclude=./.git --exclude='*.o' --exclude='*.so' --exclude='*.bc' --exclude=./src/cli/defer \
		--exclude=./results --exclude=./output_iso --exclude=./tmp_check . |
		tar -xf - --no-same-owner -C "$SRC" || die "cannot copy the source"
	[ "$(id -u)" -ne 0 ] || chown -R "$SERVER_USER": "$WORK"
	export PGHOST=$WORK/sockets PGPORT=5432 PGUSER=postgres
}

# Stop our servers, all those whose data folder is in $WORK; remove $WORK
clean_up()
{
	local pidfile

	if [ -z "$WORK" ] || [ -n "$KEEP_WORK" ]; then
		return 0
	fi
	find "$WORK" -name postmaster.pid 2>/dev/null | while read -r pidfile; do
		as_user "$BIN/pg_ctl" -D "${pidfile%/*}" -m immediate -w -t 30 stop \
			>/dev/null 2>&1 </dev/null
	done
	for pidfile in "$WORK"/*.pid; do
		[ ! -f "$pidfile" ] || kill "$(cat "$pidfile")" 2>/dev/null
	done
	cd / && rm -rf "$WORK"
	WORK=
}

# Copy the server's programs, and link the rest, to $WORK/server.  PostgreSQL finds
# its files relative to its programs, so "make install" with the copy's pg_config
# and CREATE EXTENSION in a server started from the copy both stay in there.
private_server()
{
	local config=$1 bin lib share include root=$WORK/server file

	bin=$("$config" --bindir)
	lib=$("$config" --pkglibdir)
	share=$("$config" --sharedir)
	include=$("$config" --includedir-server)
	mkdir -p "$root$bin" "$root$lib" "$root$share/extension" "$root${include%/*}"
	for file in "$bin"/{postgres,pg_*,initdb,psql,createdb,dropdb,createuser,dropuser,vacuumdb}; do
		[ ! -x "$file" ] || cp -L "$file" "$root$bin/"
	done
	ln -s "$lib"/* "$root$lib/"
	ln -s "$share"/extension/* "$root$share/extension/"
	for file in "$share"/*; do
		case ${file##*/} in
		extension | man) ;;		# things are installed there
		*) ln -s "$file" "$root$share/" ;;
		esac
	done
	ln -s "$include" "$root$include"
	# libpq and its headers: the program in src/cli is built with them
	for file in "$("$config" --includedir)"/* "$("$config" --libdir)"/libpq.*; do
		[ -e "$root$file" ] || { mkdir -p "$root${file%/*}" && ln -s "$file" "$root$file"; }
	done
	rm -f "$root$lib"/defer.* "$root$share"/extension/defer{.control,--*.sql}
	BIN=$root$bin
	export PG_CONFIG=$BIN/pg_config PATH=$BIN:$PATH
	[ "$("$PG_CONFIG" --pkglibdir)" = "$root$lib" ] ||
		die "the server in $bin is not relocatable"
	[ "$(id -u)" -ne 0 ] || chown -R -h "$SERVER_USER": "$root"
}

# Build and install into the private server.  JIT code is left out: it needs
# clang and is of no use here.
build()
{
	local log=$WORK/log/build.log

	if ! (cd "$SRC" && as_user make -j "$JOBS" with_llvm=no all &&
		as_user make with_llvm=no install) >"$log" 2>&1; then
		tail -n 60 "$log" >&2
		die "the build failed"
	fi
	grep -A 6 'warning:' "$log" >&2 || true
}

# Build what tests load by its path, for who runs them; it is not installed
build_test_modules()
{
	local log=$WORK/log/modules.log

	# without what tools/instrument.sh sets: they do wrong on purpose
	if ! as_user env -u COPT make -C "$SRC/test/modules" all >"$log" 2>&1; then
		cat "$log" >&2
		die "the build of the test modules failed"
	fi
	grep -A 6 'warning:' "$log" >&2 || true
}

# start_server [name [line of postgresql.conf ...]]: initdb and start, in
# $WORK/data<name>; the superuser is "postgres", the only door is the socket
start_server()
{
	local data=$WORK/data${1:-} log=$WORK/log/server${1:-}.log

	[ $# -eq 0 ] || shift
	as_user "$BIN/initdb" -D "$data" -U postgres -A trust -E UTF8 --locale=C \
		--no-sync >"$WORK/log/initdb.log" 2>&1 ||
		{ cat "$WORK/log/initdb.log" >&2; die "initdb failed"; }
	{
		printf '%s\n' "listen_addresses = ''" \
			"unix_socket_directories = '$PGHOST'" "port = $PGPORT" \
			"shared_preload_libraries = '${CHECK_PRELOAD:-defer}'" \
			"max_worker_processes = 16" "$@"
	} | as_user tee -a "$data/postgresql.conf" >/dev/null
	if ! as_user "$BIN/pg_ctl" -D "$data" -l "$log" -w -t 60 start >"$WORK/log/start.log" 2>&1; then
		cat "$WORK/log/start.log" "$log" >&2
		die "the server did not start"
	fi
}
