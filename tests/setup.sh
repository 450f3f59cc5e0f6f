#!/usr/bin/env bash
# Makes what the tests need beside cargo: five real Chroma releases in virtual environments and the
# weights of all-MiniLM-L6-v2, all under .venv. Safe to repeat; does nothing that is already done.
#
#   EMBEDPORT_PYTHON   the Python to make the environments with (default: python3, 3.9 to 3.12, with venv)
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

if ! "$python" -c 'import sys; sys.exit(not (3, 9) <= sys.version_info < (3, 13))'; then
    echo "$python is $("$python" --version); the engine of Chroma 0.4 to 0.6 comes compiled for Python 3.9 to 3.12:" \
        "name one by EMBEDPORT_PYTHON" >&2
    exit 1
fi
mkdir -p .venv
# Up to 0.4 Chroma uses names that numpy 2 does not have, and the engine up to 0.6 was compiled against numpy 1.
environment chroma-0.4.24 chromadb==0.4.24 'numpy<2'
environment chroma-0.5.23 chromadb==0.5.23 'numpy<2'
environment chroma-0.6.3 chromadb==0.6.3 'numpy<2'
environment chroma-1.0.20 chromadb==1.0.20
environment chroma-1.5.9 chromadb==1.5.9
PYTHON=.venv/chroma-1.5.9/bin/python sh tests/python/fetch_minilm.sh .venv/models/all-MiniLM-L6-v2
