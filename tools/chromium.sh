#!/bin/sh
# Gets Debian's chromium for the browser tests where it may: as root, with apt-get.  What
# drives it brings a Node of its own, which wants libatomic and does not bring that.
#
# Where it may not, it says what is missing and lets the other tests run; the browser tests
# are then skipped, and with CI=true they fail (tests/conftest.py).  CHROMIUM=/path names
# another one.
set -eu

missing=
found=
for candidate in "${CHROMIUM:-}" /usr/bin/chromium; do
    [ -n "$candidate" ] && [ -x "$candidate" ] && found=$candidate
done
# A font, too: without one the pages' text has no shape to look at.
[ -n "$found" ] || missing="chromium fonts-dejavu-core"
ldconfig=$(command -v ldconfig || echo /sbin/ldconfig)
"$ldconfig" -p 2>/dev/null | grep -q 'libatomic\.so\.1' || missing="$missing libatomic1"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Browser tests cannot run, because this is missing:" $missing ". As root, run" \
        "'apt-get install" $missing"'; CHROMIUM=/path/to/chromium names another browser." >&2
    exit 0
fi

echo "installing" $missing >&2
cd "$(dirname "$0")/.."
mkdir -p .cache
DEBIAN_FRONTEND=noninteractive
export DEBIAN_FRONTEND
# The names are words of ours, to be split.
if ! { apt-get -qq update &&
    apt-get -qq install --yes --no-install-recommends $missing; } \
    >.cache/apt.log 2>&1; then
    tail -n 5 .cache/apt.log >&2
    echo "apt-get could not install it: the whole of what it said is in .cache/apt.log." >&2
fi
