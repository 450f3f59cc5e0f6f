#!/usr/bin/env bash
# Makes what the tests need beside cargo: five real Chroma releases, two of sqlite-vec with what is built on it, in
# virtual environments, and the weights of all-MiniLM-L6-v2, all under .venv. Safe to repeat; does nothing that is
# already done.
#
#   EMBEDPORT_PYTHON   the Python to make the environments with (default: python3, 3.9 to 3.12, with venv); those of
#                      sqlite-vec need one of at least 3.10 that can load extensions of SQLite: the first of this one,
#                      python3 and /usr/bin/python3
set -euo pipefail
cd "$(dirname "$0")/.."
python=${EMBEDPORT_PYTHON:-python3}

environment() { # folder, requirement... [-- requirement whose own requirements are left out...]
    local folder=.venv/$1 needs=() bare=()
    shift
    for one in "$@"; do
        if [ "$one" = -- ]; then bare=(--no-deps); elif [ ${#bare[@]} -gt 0 ]; then bare+=("$one"); else needs+=("$one"); fi
    done
    if [ -f "$folder/.complete" ] && [ "$(cat "$folder/.complete")" = "$*" ]; then
        return
    fi
    echo "making $folder: $*" >&2
    rm -rf "$folder"
    "$python" -m venv "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check "${needs[@]}"
    if [ ${#bare[@]} -gt 0 ]; then
        "$folder/bin/pip" install --quiet --disable-pip-version-check "${bare[@]}"
    fi
    echo "$*" >"$folder/.complete"
}

if ! "$python" -c 'import sys; sys.exit(not (3, 9) <= sys.version_info < (3, 13))'; then
    echo "$python is $("$python" --version); the engine of Chroma 0.4 to 0.6 comes compiled for Python 3.9 to 3.12:" \
        "name one by EMBEDPORT_PYTHON" >&2
    exit 1
fi
loads_extensions='import ensurepip, sqlite3, sys, venv
assert sys.version_info >= (3, 10)
sqlite3.connect(":memory:").enable_load_extension(True)'
for one in "${EMBEDPORT_PYTHON:-python3}" python3 /usr/bin/python3; do
    if "$one" -c "$loads_extensions" 2>/dev/null; then
        sqlite_python=$one
        break
    fi
done
if [ -z "${sqlite_python:-}" ]; then
    echo "no Python here can load extensions of SQLite, as real sqlite-vec must be: that of a Linux distribution can" \
        "(Debian: apt-get install python3 python3-venv), as can one compiled with --enable-loadable-sqlite-extensions:" \
        "name it by EMBEDPORT_PYTHON" >&2
    exit 1
fi
mkdir -p .venv
# Up to 0.4 Chroma uses names that numpy 2 does not have, and the engine up to 0.6 was compiled against numpy 1.
environment chroma-0.4.24 chromadb==0.4.24 'numpy<2'
environment chroma-0.5.23 chromadb==0.5.23 'numpy<2'
environment chroma-0.6.3 chromadb==0.6.3 'numpy<2'
environment chroma-1.0.20 chromadb==1.0.20
environment chroma-1.5.9 chromadb==1.5.9
python=$sqlite_python
# Of langchain-community one module is used that needs only langchain-core; the SQLAlchemy store of LlamaIndex names
# an older core, and works with this one.
environment sqlite sqlite-vec==0.1.9 numpy==2.2.6 qdrant-client==1.20.0 langchain-core==1.7.2 llama-index-core==0.14.25 \
    -- langchain-community==0.4.2 llama-index-vector-stores-sqlalchemy==0.5.0 llama-index-vector-stores-qdrant==0.10.4
environment sqlite-old sqlite-vec==0.1.1 numpy==2.2.6
PYTHON=.venv/chroma-1.5.9/bin/python sh tests/python/fetch_minilm.sh .venv/models/all-MiniLM-L6-v2
