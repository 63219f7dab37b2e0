#!/usr/bin/env bash
# venv.sh FOLDER LOCK: a virtual environment in FOLDER with exactly what LOCK lists, and mlotel itself, editable.
# venv.sh: only checks that there is a Python to make one with. PYTHON names it (python3 unless set).
set -euo pipefail
folder=${1:-} lock=${2:-} python=${PYTHON:-python3}

fail() {
    echo "mlotel: $*" >&2
    exit 1
}

command -v "$python" >/dev/null || fail "needs Python 3.11 or newer, but there is no $python (set PYTHON=...)"
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') || fail "$python does not run (set PYTHON=...)"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "needs Python 3.11 or newer, but $python is $version (set PYTHON=...)"
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "needs Python's venv module: apt-get install python${version}-venv"
[ -n "$folder" ] || exit 0

echo "setting up $folder from $lock"
"$python" -m venv --clear "$folder"
# Everything is in the lock, so nothing is resolved here: --no-deps also leaves out what the lock leaves out on purpose.
# Python compiles a module when it first imports it, so compiling all of them now would only take time.
install="$folder/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile"
$install --requirement "$lock"
$install --no-build-isolation --editable .
