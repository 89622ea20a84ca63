#!/bin/sh
# Fetches Debian's nginx with nchan for tests and benches, and unpacks it below .cache/servers:
# nothing is installed, nothing runs as a service, and no rights are needed.
#
# What stands there is kept while the list below is what it was made from.  Where it cannot be
# fetched, one line says so and the others go on; with CI=true the tests that want it fail.
set -eu

PACKAGES="nginx nginx-common libnginx-mod-nchan"

cd "$(dirname "$0")/.."
home=.cache/servers
stamp=$home/.stamp
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$PACKAGES" ] && exit 0

missing=
for tool in apt-get dpkg-deb ldd; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
done
if [ -n "$missing" ]; then
    echo "nginx cannot be fetched for tests and benches: this machine has no$missing" >&2
    exit 0
fi

echo "fetching $PACKAGES" >&2
mkdir -p .cache
fresh=$(mktemp -d .cache/servers-XXXXXX)
trap 'rm -rf "$fresh"' EXIT
mkdir -p "$fresh/lists/partial" "$fresh/debs/partial" "$fresh/root"
fresh=$(cd "$fresh" && pwd)
log=$(pwd)/.cache/servers.log

# The machine's own lists are tried first; they may be missing or too old, and only root may
# renew them, so a second try uses lists of ours.
cat >"$fresh/own.conf" <<END
Dir::State::Lists "$fresh/lists";
Dir::Cache::Archives "$fresh/debs";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
APT::Sandbox::User "";
END

download() {
    (cd "$fresh/debs" && apt-get -qq -o APT::Sandbox::User= download "$@") >>"$log" 2>&1
}
fetch() {
    download "$@" && return
    [ "${APT_CONFIG:-}" != "$fresh/own.conf" ] || return
    APT_CONFIG=$fresh/own.conf
    export APT_CONFIG
    apt-get -qq update >>"$log" 2>&1 && download "$@"
}
unpack() {
    for deb in "$fresh"/debs/*.deb; do
        dpkg-deb -x "$deb" "$fresh/root" || return
        # What a package leans on, by name: the first word of each.
        dpkg-deb -f "$deb" Depends | tr ',' '\n' | sed 's/^ *//; s/[ (].*//' >>"$fresh/depends"
        rm "$deb"
    done
}
lacks() {
    LD_LIBRARY_PATH=$(find "$fresh/root" -name '*.so*' -exec dirname {} + | sort -u |
        paste -s -d : -) \
        ldd "$fresh/root/usr/sbin/nginx" "$fresh"/root/usr/lib/nginx/modules/*.so 2>&1 |
        grep 'not found'
}

: >"$log"
# Here and below names are words of ours, to be split.
if ! { fetch $PACKAGES && unpack; }; then
    echo "nginx could not be fetched for tests and benches: $log says why" >&2
    exit 0
fi
if lacks >>"$log"; then
    # A minimal system: the libraries among what they lean on, save the C library, which the
    # system's own loader belongs to.
    wanted=$(grep -E '^(lib|zlib)' "$fresh/depends" | grep -v '^libc6$' | sort -u)
    if ! { fetch $wanted && unpack; } ||
        lacks >>"$log"; then
        echo "nginx lacks libraries on this machine: $log says which" >&2
        exit 0
    fi
fi
printf '%s\n' "$PACKAGES" >"$fresh/root/.stamp"
rm -rf "$home"
mv "$fresh/root" "$home"
