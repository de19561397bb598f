# shellcheck shell=bash
# Debian releases, each unpacked into a folder of its own, for tools/check-versions and
# tools/check-packages, which source this behind tools/lib.sh.  Wants root.
#
#   CHROOT_DIR=/var/cache/defer-chroots
#   DEBIAN_MIRROR=                  default: the one that this machine's apt uses
: "${CHROOT_DIR:=/var/cache/defer-chroots}"

mirror()
{
	[ -z "${DEBIAN_MIRROR:-}" ] || { say "$DEBIAN_MIRROR"; return; }
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' 2>/dev/null |
		head -n 1
}

# Let apt take the newest server from experimental, and nothing else
add_experimental()
{
	local root=$1 major lists=$1/etc/apt/sources.list

	sed 's/^\(deb .*\) sid main.*/\1 experimental main/p' -n "$lists" \
		>"$root/etc/apt/sources.list.d/experimental.list"
	chroot "$root" apt-get -q update || return 1
	major=$(chroot "$root" apt-cache search --names-only '^postgresql-server-dev-[0-9]+$' |
		sed 's/^postgresql-server-dev-\([0-9]*\).*/\1/' | sort -n | tail -n 1)
	[ -n "$major" ] || return 1
	printf 'Package: %s\nPin: release a=experimental\nPin-Priority: 600\n' \
		"postgresql-$major postgresql-*-$major libpq5 libpq-dev" \
		>"$root/etc/apt/preferences.d/defer"
}

# A release is unpacked elsewhere first, so that a broken-off one is never used.  NAME-fresh is one
# of its own, in which nothing gets installed.
make_chroot()
{
	local name=$1 root=$CHROOT_DIR/$1 log=$CHROOT_DIR/$1.log
	local release=${name%-fresh}

	release=${release/experimental/sid}

	[ ! -x "$root/usr/bin/apt-get" ] || return 0
	mkdir -p "$CHROOT_DIR"
	say "unpacking Debian $name in $root"
	rm -rf --one-file-system "$root.new"
	# shellcheck disable=SC2046 # no mirror means debootstrap's own default
	debootstrap --variant=minbase "$release" "$root.new" $(mirror) >"$log" 2>&1 ||
		{ tail -n 20 "$log" >&2; return 1; }
	# No services in there
	printf '#!/bin/sh\nexit 101\n' >"$root.new/usr/sbin/policy-rc.d"
	chmod +x "$root.new/usr/sbin/policy-rc.d"
	# A mirror may lag behind, above all for sid
	printf 'Acquire::Check-Valid-Until "false";\n' >"$root.new/etc/apt/apt.conf.d/90defer"
	if [ "$name" = experimental ]; then
		cp -L /etc/resolv.conf "$root.new/etc/resolv.conf" 2>/dev/null
		add_experimental "$root.new" >>"$log" 2>&1 || { tail -n 20 "$log" >&2; return 1; }
	fi
	mv "$root.new" "$root"
}

# in_chroot ROOT [VARIABLE=value ...] COMMAND...: run it in there.  Mounts live in a mount
# namespace of their own and processes in a PID namespace: both are gone when it ends, however
# it ends.
in_chroot()
{
	local root=$1

	shift
	cp -L /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null
	# shellcheck disable=SC2016 # the shell in there
	unshare --mount --propagation private --pid --fork --kill-child \
		sh -c 'root=$1; shift
			mount -t proc proc "$root/proc" &&
			mount --rbind /dev "$root/dev" &&
			mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm" &&
			exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@"' \
		sh "$root" "$@"
}
