#!/bin/sh
# Installs the server of Awoooi Monitor on this machine, or a newer version over an older one.
#
#   sh install.sh [--from DIR] [--sha256 HEX] [--wheels DIR] [--no-start]
#   sh install.sh --uninstall
#
# DIR, by default where this file lies, is what `make dist` made: the wheel, requirements.lock,
# the unit and SHA256SUMS, by which all of them are checked before anything is done.  --sha256 is
# the checksum of SHA256SUMS itself, had by another way than the files.
#
# What the server needs is fetched by pip from its registry, each by its checksum; --wheels DIR
# takes it from a folder instead, made elsewhere by: pip download -r requirements.lock -d DIR
#
# Each version has a folder of its own in /opt/awoooi-monitor, and the link `server` leads to the
# one that runs: the way back is that link.  Data are never touched; --uninstall leaves them.
set -eu

HOME_DIR=/opt/awoooi-monitor
ETC=/etc/awoooi-monitor
DATA=/var/lib/awoooi-monitor
UNIT=awoooi-monitor.service
UNITS=/etc/systemd/system
USER_NAME=awoooi-monitor

say() { printf '%s\n' "$*"; }

fail() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

read_options() {
    from=$(dirname -- "$0") expected='' wheels='' no_start='' uninstall=''
    while [ $# -gt 0 ]; do
        case $1 in
            --from | --sha256 | --wheels)
                [ $# -gt 1 ] || fail "$1 wants a value"
                case $1 in
                    --from) from=$2 ;;
                    --sha256) expected=$2 ;;
                    --wheels) wheels=$(cd -- "$2" && pwd) || fail "there is no folder $2" ;;
                esac
                shift
                ;;
            --no-start) no_start=yes ;;
            --uninstall) uninstall=yes ;;
            *) fail "usage: install.sh [--from DIR] [--sha256 HEX] [--wheels DIR] [--no-start]" ;;
        esac
        shift
    done
}

# Every file is what SHA256SUMS says, and that is what the operator says, where he does.
check_files() {
    cd -- "$from" || fail "there is no folder $from"
    [ -f SHA256SUMS ] || fail "$from has no SHA256SUMS: is it what make dist made?"
    if [ -n "$expected" ]; then
        found=$(sha256sum SHA256SUMS | cut -d ' ' -f 1)
        [ "$found" = "$expected" ] || fail "SHA256SUMS has the checksum $found, not $expected"
    fi
    wheel=''
    for each in awoooi_monitor-*.whl; do
        [ -f "$each" ] || fail "$from has no wheel"
        [ -z "$wheel" ] || fail "$from has several wheels: leave one"
        wheel=$each
    done
    for each in "$wheel" requirements.lock "$UNIT"; do
        grep -q " [ *]\{0,1\}$each\$" SHA256SUMS || fail "SHA256SUMS does not know $each"
    done
    sha256sum --check --quiet --strict SHA256SUMS ||
        fail "the files are not those that SHA256SUMS was made of; nothing was installed"
    version=${wheel#awoooi_monitor-}
    version=${version%%-*}
}

find_python() {
    for each in ${PYTHON:-} python3 python3.11 python3.12 python3.13 python3.14 python3.15; do
        python=$(command -v "$each" 2>/dev/null) || continue
        "$python" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        "$python" -I -c 'import ensurepip, venv' 2>/dev/null && return
        fail "$python has no venv: on Debian, apt install python3-venv"
    done
    fail "the server needs Python 3.11 or newer"
}

make_user() {
    id "$USER_NAME" >/dev/null 2>&1 ||
        useradd --system --user-group --no-create-home --home-dir "$DATA" \
            --shell /usr/sbin/nologin "$USER_NAME"
}

# A folder that is not whole never gets the link.
install_version() {
    place=$HOME_DIR/server-$version
    mkdir -p "$HOME_DIR"
    if [ "$(readlink "$HOME_DIR/server" 2>/dev/null)" = "server-$version" ]; then
        place=$place+again
        version=$version+again
    fi
    rm -rf "$place"
    "$python" -m venv "$place"
    pip="$place/bin/python -m pip --quiet --disable-pip-version-check install"
    if [ -n "$wheels" ]; then
        $pip --no-index --find-links "$wheels" --require-hashes -r requirements.lock
    else
        $pip --require-hashes --only-binary :all: -r requirements.lock
    fi
    $pip --no-index --no-deps "./$wheel"
    "$place/bin/monitor" --version
}

switch() {
    before=$(readlink "$HOME_DIR/server" 2>/dev/null || true)
    ln -sfn "server-$version" "$HOME_DIR/server.new"
    mv -T "$HOME_DIR/server.new" "$HOME_DIR/server"
    mkdir -p /usr/local/bin
    ln -sfn "$HOME_DIR/server/bin/monitor" /usr/local/bin/monitor
    # The version before stays, for the way back; older ones go.
    for each in "$HOME_DIR"/server-*; do
        case ${each##*/} in "server-$version" | "$before") ;; *) rm -rf "$each" ;; esac
    done
}

write_settings() {
    mkdir -p -m 755 "$ETC"
    if [ ! -e "$ETC/config.toml" ]; then
        say '# Every key: config.example.toml.  To let others in, make an account first:
#   monitor user create NAME --role admin
# then write, and restart:
#   [server]
#   listen = "0.0.0.0:8460"
#   public_url = "https://THIS-MACHINE:8460"' >"$ETC/config.toml"
        chgrp "$USER_NAME" "$ETC/config.toml"
        chmod 640 "$ETC/config.toml"
    fi
    mkdir -p -m 700 "$DATA"
    chown "$USER_NAME:" "$DATA"
    "$HOME_DIR/server/bin/monitor" config check --config "$ETC/config.toml" --data "$DATA" \
        >/dev/null
}

start() {
    if ! { [ -d /run/systemd/system ] && command -v systemctl >/dev/null; }; then
        say "installed; there is no systemd here, so start it as $USER_NAME:"
        say "  $HOME_DIR/server/bin/monitor serve --config $ETC/config.toml --data $DATA"
        return
    fi
    install -m 644 "$UNIT" "$UNITS/$UNIT"
    systemctl daemon-reload
    if [ -n "$no_start" ]; then
        say "installed; to start it: systemctl enable --now $UNIT"
        return
    fi
    systemctl enable --quiet "$UNIT"
    systemctl restart "$UNIT"
    sleep 2
    systemctl is-active --quiet "$UNIT" || fail "it did not stay; see: journalctl -u $UNIT"
    say "it runs; see: systemctl status $UNIT"
}

remove() {
    if [ -d /run/systemd/system ] && command -v systemctl >/dev/null; then
        systemctl disable --quiet --now "$UNIT" 2>/dev/null || true
        rm -f "$UNITS/$UNIT"
        systemctl daemon-reload
    fi
    rm -rf "$HOME_DIR"/server "$HOME_DIR"/server-*
    rm -f /usr/local/bin/monitor
    rmdir "$HOME_DIR" 2>/dev/null || true
    say "the server is gone; its data are still in $DATA, its configuration in $ETC"
}

read_options "$@"
if [ -n "$uninstall" ]; then
    [ "$(id -u)" -eq 0 ] || fail "run this as root"
    remove
    exit
fi
check_files
[ "$(id -u)" -eq 0 ] || fail "run this as root"
find_python
make_user
install_version
switch
write_settings
start
