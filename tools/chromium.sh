#!/bin/sh
# Gets Debian's chromium for the browser tests where it may: as root, with apt-get.
#
# Where it may not, it says what is missing and lets the other tests run; the browser tests
# are then skipped, and with CI=true they fail (tests/conftest.py).  CHROMIUM=/path names
# another one.
set -eu

for candidate in "${CHROMIUM:-}" /usr/bin/chromium; do
    [ -n "$candidate" ] && [ -x "$candidate" ] && exit 0
done

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Chromium is missing, so browser tests cannot run: as root, run" \
        "'apt-get install chromium', or name one with CHROMIUM=/path/to/chromium." >&2
    exit 0
fi

echo "installing chromium" >&2
cd "$(dirname "$0")/.."
mkdir -p .cache
DEBIAN_FRONTEND=noninteractive
export DEBIAN_FRONTEND
# A font, too: without one the pages' text has no shape to look at.
if ! { apt-get -qq update &&
    apt-get -qq install --yes --no-install-recommends chromium fonts-dejavu-core; } \
    >.cache/apt.log 2>&1; then
    tail -n 5 .cache/apt.log >&2
    echo "apt-get could not install chromium: the whole of what it said is in .cache/apt.log." >&2
fi
