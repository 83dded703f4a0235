#!/bin/sh
# deps.sh - what building and testing needs, on Debian and its kin.
#
#	sh test/deps.sh build	a compiler and make
#	sh test/deps.sh test	that, and every tool and supervisor of the tests
#
# Run as root, or where sudo works.  Does nothing, quickly, when nothing is
# missing.  The inetds exclude each other as packages and start themselves when
# installed, as runit and prometheus do, of which only a tool is needed.  So they
# are unpacked into test/deps/ instead, where the tests find them.
set -eu
cd "$(dirname "$0")"

# a|b: the first of these names that the distribution has
build='gcc make libc6-dev libbearssl-dev libnghttp2-dev'
test="$build binutils clang libclang-rt-14-dev|libclang-rt-dev bmake mandoc musl-tools
	nghttp2-client openssl sslscan nmap testssl.sh python3-h2
	ca-certificates netbase curl wget python3 python3-pip git valgrind strace procps iproute2 util-linux
	s6 ucspi-tcp systemd systemd-container debootstrap dpkg-dev apt chromium xz-utils gzip brotli zstd
	apache2-utils zsh fish bash tidy
	libbsd0 libevent-2.1-7|libevent-2.1-7t64 libselinux1 libsystemd0
	libtirpc3|libtirpc3t64 libwrap0
	goaccess jq wrk"
# PACKAGE:FILE, which are not to be installed
unpacked='openbsd-inetd:usr/sbin/inetd inetutils-inetd:usr/sbin/inetutils-inetd
	xinetd:usr/sbin/xinetd prometheus:usr/bin/promtool
	runit:usr/bin/runsv runit:usr/bin/chpst runit:usr/bin/sv'
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		sudo -E "$@"
	fi
}

fresh=false
update() {
	$fresh || as_root apt-get -q update
	fresh=true
}

# installed NAME|NAME...: is one of them there?
installed() {
	for name in $(echo "$1" | tr '|' ' '); do
		case $have in
		*" $name "*) return 0 ;;
		esac
	done
	return 1
}

# candidate NAME|NAME...: the first that apt could install
candidate() {
	for name in $(echo "$1" | tr '|' ' '); do
		if apt-cache show "$name" >/dev/null 2>&1; then
			echo "$name"
			return
		fi
	done
	echo "${1%%|*}"
}

# need NAME|NAME...: install what is missing of the list
need() {
	have=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' |
	    sed -n 's/^installed //p' | tr '\n' ' ')
	have=" $have"
	missing=
	for p; do
		installed "$p" || missing="$missing $p"
	done
	[ -n "$missing" ] || return 0
	update
	list=
	for p in $missing; do
		list="$list $(candidate "$p")"
	done
	# shellcheck disable=SC2086 # a list of words
	as_root apt-get -q install -y --no-install-recommends $list
}

unpack() {
	for i in $unpacked; do
		name=${i%%:*}
		[ ! -x "deps/${i#*:}" ] || continue
		update
		tmp=$(mktemp -d)
		(cd "$tmp" && apt-get -q -o APT::Sandbox::User=root \
		    download "$name")
		dpkg --fsys-tarfile "$tmp"/*.deb | tar -xf - -C deps "./${i#*:}"
		rm -rf "$tmp"
	done
}

build_systemfd() {
	[ ! -x deps/bin/systemfd ] || return 0
	PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
	# cargo-web: the new one that Debian 12 keeps for its browsers; the plain
	# one knows the registry only as a git repository
	command -v cargo >/dev/null || need 'cargo-web|cargo'
	# 0.4.6 passes LISTEN_FDS_FIRST_FD and needs Rust 1.64; 0.4.0 is content
	# with Debian 12's 1.63
	for version in 0.4.6 0.4.0; do
		cargo install --quiet systemfd --version $version --locked \
		    --root deps && return
	done
	return 1
}

# with libraries that Debian 12's Go can build
build_h2spec() {
	[ ! -x deps/bin/h2spec ] || return 0
	PATH=$PATH:/usr/local/go/bin
	command -v go >/dev/null || need golang-go
	tmp=$(mktemp -d)
	cat >"$tmp/go.mod" <<-E
		module deps
		go 1.19
		require (
			github.com/summerwind/h2spec v2.2.1+incompatible
			github.com/fatih/color v1.15.0
			github.com/spf13/cobra v1.7.0
			golang.org/x/net v0.17.0
		)
	E
	out=$PWD/deps/bin/h2spec
	(cd "$tmp" && GOFLAGS=-mod=mod go build -o "$out" \
	    github.com/summerwind/h2spec/cmd/h2spec)
	rm -rf "$tmp"
}

# REDbot's linter, for test/lint.py
install_httplint() {
	version=2026.10.4
	[ ! -d deps/python/httplint-$version.dist-info ] || return 0
	"${PYTHON:-python3}" -m pip install --quiet --upgrade \
	    --root-user-action ignore --target deps/python httplint==$version
}

# a small system for test/systemd.py to boot, where that can be done at all
build_root() {
	[ ! -d deps/root ] || return 0
	[ -z "$(python3 systemd.py obstacle)" ] || return 0
	# shellcheck disable=SC1091
	suite=$(. /etc/os-release; echo "${VERSION_CODENAME:-stable}")
	eval "$(apt-config shell proxy Acquire::http::Proxy)"
	[ -z "${proxy:-}" ] || export http_proxy="$proxy"
	rm -rf deps/root.new
	debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus \
	    --cache-dir=/var/cache/apt/archives "$suite" deps/root.new \
	    >deps/root.log 2>&1 || { tail -n 5 deps/root.log; return 1; }
	(cd deps/root.new && rm -rf usr/share/doc usr/share/man \
	    usr/share/locale var/lib/apt/lists var/cache/apt)
	mv deps/root.new deps/root
}

case ${1:-} in
build)
	# shellcheck disable=SC2086 # a list of words
	need $build ;;
test)
	# shellcheck disable=SC2086 # a list of words
	need $test
	mkdir -p deps
	unpack
	install_httplint
	build_h2spec
	build_systemfd
	build_root ;;
*)
	echo 'usage: deps.sh build|test' >&2
	exit 2 ;;
esac
