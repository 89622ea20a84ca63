#!/bin/sh
# Resolves the dependencies of pyproject.toml and package.json into the lock files.
#
# The locks carry a hash for every file and the address of none, and hold for every Python
# that the project supports (environment markers part what differs).  What is locked stays
# as it is unless pyproject.toml forbids it; `make lock ARGS=--upgrade` takes newer versions.
set -eu
cd "$(dirname "$0")/.."

uv_version=0.13.9
floor=3.11

# The resolver is no part of the program: it lives in a folder of its own.
sh tools/venv.sh bare
if ! .cache/uv/bin/uv --version 2>/dev/null | grep -q "uv $uv_version "; then
    echo "installing uv $uv_version" >&2
    rm -rf .cache/uv
    .venv/bin/python -m venv .cache/uv
    .cache/uv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$uv_version"
fi

resolve() {
    output=$1
    shift
    .cache/uv/bin/uv pip compile --quiet --no-config --universal --generate-hashes \
        --python-version "$floor" --no-header --output-file "$output" "$@" >/dev/null
    {
        echo '# Made by "make lock" from pyproject.toml; do not edit.'
        cat "$output"
    } >.cache/lock
    if grep -n 'https\{0,1\}:' .cache/lock; then
        echo "$output would name an address: it was not written." >&2
        exit 1
    fi
    cat .cache/lock >"$output"
    echo "$output: $(grep -c '==' "$output") packages"
}

resolve requirements.lock pyproject.toml "$@"
resolve requirements-dev.lock pyproject.toml --group dev --constraint requirements.lock "$@"
resolve requirements-node.lock --group node "$@"
.venv/bin/python tools/browser_packages.py lock
