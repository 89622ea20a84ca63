#!/bin/sh
# Makes .venv hold what the lock files say, and nothing is done when it already does.
#
#   tools/venv.sh run    what the server needs to run
#   tools/venv.sh dev    that, and what tests, checks and benchmarks need
#   tools/venv.sh bare   nothing yet: what `make lock` begins with
#
# PYTHON names the interpreter; without it the first of python3, python3.13, python3.12 and
# python3.11 that is 3.11 or newer is taken.  The project itself is not built: a .pth file
# puts this checkout on the path and .venv/bin/monitor starts it, so that nothing outside
# the hashes of the lock files is ever installed.
set -eu
cd "$(dirname "$0")/.."

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

case "${1:-}" in
    run) lock=requirements.lock ;;
    dev) lock=requirements-dev.lock ;;
    bare) lock= ;;
    *) fail "usage: tools/venv.sh run|dev|bare" ;;
esac

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

identity() {
    "$1" -c 'import sys; print(sys.version.split()[0], sys.base_prefix)'
}

choose_python() {
    if [ -n "${PYTHON:-}" ]; then
        new_enough "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.11 or newer."
        echo "$PYTHON"
        return
    fi
    for candidate in python3 python3.13 python3.12 python3.11; do
        if new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "No Python 3.11 or newer was found: install one, or name one with PYTHON=/path/to/python3."
}

# Debian parts venv from Python.  Root may install it; others are told the one line.
need_venv() {
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1 && return
    package=$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing $package" >&2
        DEBIAN_FRONTEND=noninteractive
        export DEBIAN_FRONTEND
        { apt-get -qq update && apt-get -qq install --yes --no-install-recommends "$package"; } \
            >.cache/apt.log 2>&1 || tail -n 5 .cache/apt.log >&2
    fi
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
        fail "$1 has no venv module: as root, run 'apt-get install $package', then try again."
}

# Whether .venv stands where it was made, and on the interpreter that was asked for.
standing() {
    [ -f .venv/identity ] && new_enough .venv/bin/python || return 1
    [ "$(sed -n 1p .venv/identity)" = "$PWD" ] || return 1
    [ -z "${PYTHON:-}" ] || [ "$(identity "$PYTHON" 2>/dev/null)" = "$(sed -n 2p .venv/identity)" ]
}

stamp_of() {
    cat .venv/identity tools/venv.sh "$1" | sha256sum
}

# Two makes at once take turns, where the machine has flock (Debian's always has).
mkdir -p .cache
if command -v flock >/dev/null; then
    exec 9>.cache/environment.lock
    flock 9
fi

if ! standing; then
    python=$(choose_python)
    need_venv "$python"
    echo "making .venv with $(identity "$python")" >&2
    rm -rf .venv
    "$python" -m venv .venv
    { echo "$PWD" && identity "$python"; } >.venv/identity
fi

[ -n "$lock" ] || exit 0
[ "$(cat ".venv/stamp-$1" 2>/dev/null)" != "$(stamp_of "$lock")" ] || exit 0

echo "installing from $lock" >&2
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
    --require-hashes --requirement "$lock"

packages=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo "$PWD" >"$packages/awoooi-monitor.pth"

# Shell and Python at once, as pip writes it: a path may be long or hold spaces.
cat >.venv/bin/monitor <<END
#!/bin/sh
'''exec' "$PWD/.venv/bin/python" "\$0" "\$@"
' '''
import sys

from monitor.__main__ import main

sys.exit(main())
END
chmod +x .venv/bin/monitor

# The development lock holds the run-time one, so it serves for both.
stamp_of requirements.lock >.venv/stamp-run
if [ "$1" = dev ]; then
    stamp_of "$lock" >.venv/stamp-dev
fi
