#!/usr/bin/env bash
# Makes what the tests need beside cargo: two real Chroma releases in virtual environments and the
# weights of all-MiniLM-L6-v2, all under .venv. Safe to repeat; does nothing that is already done.
#
#   EMBEDPORT_PYTHON   the Python to make the environments with (default: python3, 3.9 or later, with venv)
set -euo pipefail
cd "$(dirname "$0")/.."
python=${EMBEDPORT_PYTHON:-python3}

environment() { # folder, requirement...
    local folder=.venv/$1
    shift
    if [ -f "$folder/.complete" ] && [ "$(cat "$folder/.complete")" = "$*" ]; then
        return
    fi
    echo "making $folder: $*" >&2
    rm -rf "$folder"
    "$python" -m venv "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check "$@"
    echo "$*" >"$folder/.complete"
}

mkdir -p .venv
environment chroma-1.0.20 chromadb==1.0.20
environment chroma-1.5.9 chromadb==1.5.9
PYTHON=.venv/chroma-1.5.9/bin/python sh tests/python/fetch_minilm.sh .venv/models/all-MiniLM-L6-v2
