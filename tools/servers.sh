#!/bin/sh
# Fetches the servers of Debian that tests and benches lean on, and unpacks each below
# .cache/servers: nothing is installed, nothing runs as a service, and no rights are needed.
#
#   servers.sh          nginx with nchan, node_exporter, Prometheus, VictoriaMetrics,
#                       Alertmanager, and the other proxies of docs/security.md: Apache httpd,
#                       Caddy, HAProxy
#   servers.sh bench    also what only benches compare with: collectd, netdata
#
# What stands there is kept while the list below is what it was made from.  Of what cannot be
# fetched one line says so and the others go on; with CI=true the tests that want it fail.
set -eu

cd "$(dirname "$0")/.."
cache=.cache/servers
log=$(pwd)/.cache/servers.log
logged=

# What a server is called, where it goes, who wants it, its programs, its packages.  Names are
# words of ours, to be split.
server() {
    name=$1 home=$2 users=$3 programs=$4 packages=$5
    stamp=$home/.stamp
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$packages" ] && return
    missing=
    for tool in apt-get dpkg-deb ldd; do
        command -v "$tool" >/dev/null || missing="$missing $tool"
    done
    if [ -n "$missing" ]; then
        echo "$name cannot be fetched for $users: this machine has no$missing" >&2
        return
    fi
    echo "fetching $packages" >&2
    mkdir -p .cache
    [ -n "$logged" ] || : >"$log"
    logged=yes
    # In a process of its own: its folder goes when it ends, however it ends.
    (made)
}

made() {
    fresh=$(mktemp -d .cache/servers-XXXXXX)
    trap 'rm -rf "$fresh"' EXIT
    mkdir -p "$fresh/lists/partial" "$fresh/debs/partial" "$fresh/root"
    fresh=$(cd "$fresh" && pwd)
    printf '%s\n' "$name" >>"$log"
    if ! { fetch $packages && unpack; }; then
        echo "$name could not be fetched for $users: $log says why" >&2
        return
    fi
    if lacks >>"$log"; then
        # A minimal system: the libraries among what they lean on, save the C library, which
        # the system's own loader belongs to, and those of browsers.
        wanted=$(grep -E '^(lib|zlib)' "$fresh/depends" | grep -Ev '^(libc6$|libjs-)' | sort -u)
        if ! { fetch $wanted && unpack; } || lacks >>"$log"; then
            echo "$name lacks libraries on this machine: $log says which" >&2
            return
        fi
    fi
    printf '%s\n' "$packages" >"$fresh/root/.stamp"
    rm -rf "$home"
    mkdir -p "$(dirname "$home")"
    mv "$fresh/root" "$home"
}

# The machine's own lists are tried first; they may be missing or too old, and only root may
# renew them, so a second try uses lists of ours.
fetch() {
    download "$@" && return
    cat >"$fresh/own.conf" <<END
Dir::State::Lists "$fresh/lists";
Dir::Cache::Archives "$fresh/debs";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
APT::Sandbox::User "";
END
    [ "${APT_CONFIG:-}" != "$fresh/own.conf" ] || return
    APT_CONFIG=$fresh/own.conf
    export APT_CONFIG
    apt-get -qq update >>"$log" 2>&1 && download "$@"
}
download() {
    (cd "$fresh/debs" && apt-get -qq -o APT::Sandbox::User= download "$@") >>"$log" 2>&1
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
    libraries=$(find "$fresh/root" -name '*.so*' -exec dirname {} + | sort -u | paste -s -d : -)
    for program in $programs; do
        LD_LIBRARY_PATH=$libraries ldd "$fresh/root"/$program 2>&1
    done | grep 'not found'
}

server nginx "$cache" "tests and benches" "usr/sbin/nginx usr/lib/nginx/modules/*.so" \
    "nginx nginx-common libnginx-mod-nchan"
# Below nginx's own folder: where that is made anew, so are these.
server node_exporter "$cache/node-exporter" tests usr/bin/prometheus-node-exporter \
    prometheus-node-exporter
server Prometheus "$cache/prometheus" "tests and benches" "usr/bin/prometheus usr/bin/promtool" \
    prometheus
server VictoriaMetrics "$cache/victoria-metrics" "tests and benches" usr/bin/victoria-metrics \
    victoria-metrics
server Alertmanager "$cache/alertmanager" tests usr/bin/prometheus-alertmanager \
    prometheus-alertmanager
modules=usr/lib/apache2/modules
server Apache "$cache/apache" tests \
    "usr/sbin/apache2 $modules/mod_ssl.so $modules/mod_proxy_http.so $modules/mod_headers.so" \
    "apache2-bin libapr1 libaprutil1 liblua5.3-0"
server Caddy "$cache/caddy" tests usr/bin/caddy caddy
server HAProxy "$cache/haproxy" tests usr/sbin/haproxy \
    "haproxy libopentracing-c-wrapper0 libopentracing1 liblua5.3-0"
[ "${1:-}" = bench ] || exit 0
server collectd "$cache/collectd" benches "usr/sbin/collectd usr/lib/collectd/disk.so" collectd-core
server netdata "$cache/netdata" benches \
    "usr/sbin/netdata usr/lib/netdata/plugins.d/apps.plugin" netdata-core
