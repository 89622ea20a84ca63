#!/bin/sh
# Installs the agent of Awoooi Monitor from the server that this file came from, and from
# nowhere else.  POSIX sh; the host needs Python >= 3.11 with its standard library, no more.
#
#   enrol TOKEN [--name HOST]     install, hand over the token, start
#   enrol --token-file FILE …     the same, with the token in a file
#   upgrade                       install this server's version, start again; the installed agent
#                                 has a program of this name, which fetches this file anew
#   uninstall                     stop, and remove all of it
#
#   --prefix DIR   everything in one folder, as this user, started without systemd; what a user
#                  who is not root gets anyway, in ~/.local/share/awoooi-monitor
#   --no-start     install, and say how to start it
#
# Piped into a shell it only says what it can do; one more line on the same pipe says what to
# do, and a file that was cut off in the middle does nothing:
#
#   { curl -fsS URL/install.sh && echo enrol TOKEN; } | sudo sh
#
# So the token stands in no process's arguments.  Whoever trusts this file trusts the agent: its
# checksum stands here.
set -eu

SERVER='@SERVER@'
PIN='@PIN@'
KEY='@KEY@'
VERSION='@VERSION@'
WHEEL='@WHEEL@'
SHA256='@SHA256@'

UNIT=awoooi-monitor-agent.service
USER_NAME=awoooi-monitor-agent
UNITS=/etc/systemd/system
asked=

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "awoooi-monitor: $*"
    exit 1
}

usage() {
    say "the agent of Awoooi Monitor $VERSION, from $SERVER: nothing was done"
    say "say what to do: enrol TOKEN [--name HOST] [--prefix DIR], upgrade, or uninstall"
    say "monitor token create prints the whole line, and so does $SERVER/settings/tokens"
}

# The first Python that is new enough and whole: distributions cut the library into pieces.
find_python() {
    said=
    for each in ${PYTHON:-} python3 python3.11 python3.12 python3.13 python3.14 python3.15; do
        found=$(command -v "$each" 2>/dev/null) || continue
        said=$("$found" -I -c '
import sys
if sys.version_info < (3, 11):
    sys.exit("is Python %d.%d" % sys.version_info[:2])
for name in ("asyncio", "http.client", "sqlite3", "ssl", "tomllib", "urllib.request", "zlib"):
    try:
        __import__(name)
    except ImportError as error:
        sys.exit("lacks a part of its library: %s" % error)
' </dev/null 2>&1) || { said="$found $said"; continue; }
        # The program itself, since a version manager's stand-in asks who runs it and where.
        python=$("$found" -I -c 'import sys; print(sys.executable)' </dev/null)
        return
    done
    fail "the agent needs Python 3.11 or newer on this host; ${said:-there is no python3}"
}

# Where everything goes.  A host has one agent; a folder of one's own may hold another.
choose_places() {
    systemd=
    if [ -z "$prefix" ] && [ "$(id -u)" -ne 0 ]; then
        prefix=${XDG_DATA_HOME:-${HOME:?}/.local/share}/awoooi-monitor
        say "not root: the agent is installed for this user alone, in $prefix"
    fi
    if [ -n "$prefix" ]; then
        mkdir -p "$prefix"
        prefix=$(cd "$prefix" && pwd -P)
        program=$prefix/agent etc=$prefix spool=$prefix/spool
        log=$prefix/agent.log pid_file=$prefix/agent.pid user=
    else
        program=/opt/awoooi-monitor/agent etc=/etc/awoooi-monitor
        spool=/var/lib/awoooi-monitor-agent
        log=/var/log/awoooi-monitor-agent.log pid_file=/run/awoooi-monitor-agent.pid
        user=$USER_NAME
        if [ -d /run/systemd/system ] && command -v systemctl >/dev/null; then systemd=yes; fi
    fi
    token_file=$etc/agent.token
}

# Fetched, compared and unpacked by Python, so that a host without curl or unzip does as well.
# Whoever answers over TLS: the checksum says whether it is what this server meant.
install_program() {
    mkdir -p "${program%/*}"
    rm -rf "$program.new"
    "$python" -I -c '
import hashlib, io, ssl, sys, urllib.request, zipfile
url, sha256, folder = sys.argv[1:]
context = ssl._create_unverified_context() if url.startswith("https:") else None
try:
    with urllib.request.urlopen(url, timeout=60, context=context) as reply:
        content = reply.read(1 << 25)
except (OSError, ValueError) as error:
    sys.exit("awoooi-monitor: cannot fetch %s: %s" % (url, error))
if hashlib.sha256(content).hexdigest() != sha256:
    sys.exit("awoooi-monitor: %s is not what %s says it is: nothing was installed"
             % (url, "install.sh"))
zipfile.ZipFile(io.BytesIO(content)).extractall(folder)
' "$SERVER/$WHEEL" "$SHA256" "$program.new" </dev/null
    "$python" -I -OO -m compileall -qq "$program.new" </dev/null || true
    cat >"$program.new/run" <<END
#!/bin/sh
# Starts the agent; systemd names the two folders where it runs it.  What it is to do stands in
# $etc/agent.env, written by the installer, and $etc/agent.toml, yours.  Without what only developers
# read (-OO -X no_debug_ranges) it takes less memory.
set -f
. '$etc/agent.env'
token='$token_file'
if [ -n "\${CREDENTIALS_DIRECTORY:-}" ]; then token=\$CREDENTIALS_DIRECTORY/token; fi
if [ -e '$etc/agent.toml' ]; then set -- --config '$etc/agent.toml' "\$@"; fi
export PYTHONPATH='$program'
exec '$python' -OO -X no_debug_ranges -P -s -S -m monitor.agent --spool "\${STATE_DIRECTORY:-$spool}" \\
    --token-file "\$token" \$AGENT_ARGS "\$@"
END
    cat >"$program.new/upgrade" <<END
#!/bin/sh
# Installs the version that the server has now, and starts it.
set -eu
said=\$(curl -fsS${KEY:+k --pinnedpubkey $KEY} '$SERVER/install.sh')
printf '%s\nupgrade${prefix:+ --prefix %s}\n' "\$said"${prefix:+ '$prefix'} | sh
END
    chmod -R u+rwX,go+rX,go-w "$program.new"
    chmod 755 "$program.new/run" "$program.new/upgrade"
    rm -rf "$program.old"
    if [ -d "$program" ]; then mv "$program" "$program.old"; fi
    mv "$program.new" "$program"
    rm -rf "$program.old"
}

# A user without a home, a shell or a password, where systemd does not make one up by itself.
make_user() {
    if id "$user" >/dev/null 2>&1; then return; fi
    if command -v useradd >/dev/null; then
        useradd --system --no-create-home --home-dir "$spool" --shell /usr/sbin/nologin "$user"
    elif command -v adduser >/dev/null; then
        adduser -S -D -H -h "$spool" -s /sbin/nologin "$user"
    else
        user=nobody
    fi
}

write_token() {
    (
        umask 077
        rm -f "$token_file.new"
        printf '%s\n' "$token" >"$token_file.new"
    )
    if [ -n "$user" ] && [ -z "$systemd" ]; then chown "$user" "$token_file.new"; fi
    mv "$token_file.new" "$token_file"
    token=
}

write_settings() {
    said="--server $SERVER"
    if [ -n "$PIN" ]; then said="$said --pin $PIN"; fi
    if [ -n "$name" ]; then said="$said --name $name"; fi
    printf '%s\n' '# Written by install.sh; your own settings go into agent.toml.' \
        "AGENT_ARGS=\"$said\"" >"$etc/agent.env"
    chmod 644 "$etc/agent.env"
}

is_running() {
    [ -s "$pid_file" ] || return 1
    pid=$(head -n 1 "$pid_file")
    case $pid in '' | *[!0-9]*) return 1 ;; esac
    tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q 'monitor\.agent'
}

stop() {
    if [ -n "$systemd" ]; then
        systemctl stop "$UNIT" 2>/dev/null || true
    elif is_running; then
        kill "$pid"
        left=50
        while [ "$left" -gt 0 ] && is_running; do
            sleep 0.1
            left=$((left - 1))
        done
        if is_running; then kill -9 "$pid"; fi
    fi
    rm -f "$pid_file"
}

start() {
    if [ -n "$systemd" ]; then
        systemctl daemon-reload
        systemctl enable --quiet "$UNIT"
        systemctl restart "$UNIT"
        sleep 2
        systemctl is-active --quiet "$UNIT" ||
            fail "the agent did not stay; see: journalctl -u $UNIT"
        say "the agent runs; see: systemctl status $UNIT"
        return
    fi
    : >>"$log"
    if [ -n "$user" ]; then
        "$python" -I -c '
import os, pwd, sys
user = pwd.getpwnam(sys.argv[1])
os.setgroups([])
os.setgid(user.pw_gid)
os.setuid(user.pw_uid)
os.chdir("/")
os.execv(sys.argv[2], sys.argv[2:])
' "$user" "$program/run" >>"$log" 2>&1 </dev/null &
    else
        "$program/run" >>"$log" 2>&1 </dev/null &
    fi
    echo $! >"$pid_file"
    sleep 2
    if ! is_running; then
        tail -n 5 "$log" >&2
        fail "the agent did not stay; see $log"
    fi
    say "the agent runs, and says what it does in $log"
    say "there is no systemd here: to start it with the machine, run at boot: $program/run"
}

# All that an installation is made of, but for the token.
put_in_place() {
    find_python
    install_program
    if [ -n "$systemd" ]; then
        cat >"$UNITS/$UNIT" <<'END'
@UNIT@
END
        chmod 644 "$UNITS/$UNIT"
        return
    fi
    if [ -n "$user" ]; then make_user; fi
    (
        umask 077
        mkdir -p "$spool"
    )
    if [ -n "$user" ]; then chown -R "$user" "$spool"; fi
}

read_options() {
    prefix='' name='' token='' no_start=''
    while [ $# -gt 0 ]; do
        case $1 in
            --name | --prefix | --token-file)
                [ $# -gt 1 ] || fail "$1 wants a value"
                case $1 in
                    --name) name=$2 ;;
                    --prefix) prefix=$2 ;;
                    --token-file) token=$(cat -- "$2") || fail "cannot read the token file $2" ;;
                esac
                shift
                ;;
            --no-start) no_start=yes ;;
            agt_* | mon_*) token=$1 ;;
            *) fail "$1 is nothing that install.sh knows" ;;
        esac
        shift
    done
    case $name in *[!A-Za-z0-9._-]*) fail "a host's name has letters, digits and . _ - only" ;; esac
    case $prefix in *["'\\"]*) fail "--prefix is a folder without quotes in its name" ;; esac
    case $token in *[!A-Za-z0-9_]*) fail "what was given is no token" ;; esac
}

finish() {
    if [ -n "$no_start" ]; then
        if [ -n "$systemd" ]; then
            systemctl daemon-reload
            say "installed; to start it: systemctl enable --now $UNIT"
        else
            say "installed; to start it: $program/run"
        fi
    else
        start
    fi
}

enrol() {
    asked=yes
    read_options "$@"
    [ -n "$token" ] || fail "enrol needs a token: monitor token create makes one"
    choose_places
    put_in_place
    stop
    [ -d "$etc" ] || mkdir -m 755 -p "$etc"
    write_token
    write_settings
    finish
}

upgrade() {
    asked=yes
    read_options "$@"
    choose_places
    [ -s "$token_file" ] || fail "there is no agent here to upgrade: use enrol TOKEN"
    put_in_place
    stop
    finish
    say "the agent is version $VERSION"
}

uninstall() {
    asked=yes
    read_options "$@"
    choose_places
    if [ -n "$systemd" ]; then
        systemctl disable --quiet --now "$UNIT" 2>/dev/null || true
        rm -f "$UNITS/$UNIT"
        systemctl daemon-reload
    fi
    stop
    rm -rf "$program" "$spool" /var/lib/private/awoooi-monitor-agent
    rm -f "$etc/agent.env" "$token_file" "$log"
    rmdir "${program%/*}" "$etc" 2>/dev/null || true
    say "the agent is gone; its host stays at $SERVER until it is retired there"
}

trap '[ -n "$asked" ] || usage' EXIT
case ${1:-} in
    '') ;;
    enrol | upgrade | uninstall) "$@" ;;
    -h | --help) ;;
    *) fail "say enrol TOKEN, upgrade or uninstall" ;;
esac
