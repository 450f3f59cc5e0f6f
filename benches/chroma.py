#!/usr/bin/env python3
"""How long a whole migration of a Chroma collection takes: `embedport migrate-collection` with each way to an index,
the way a script does it (native_way.py), chromadb's own `add` of the same vectors to a new collection (ids and vectors
alone), and a mere `cp -r` of the database with sync, each on a fresh copy of the same real database, in turns.

    chroma.py --embedport target/release/embedport --python VENV/bin/python --work WORK \\
        --set TLDR/texts.jsonl,TLDR/source.npy,TLDR/target.npy --set DOCS/texts.jsonl,... \\
        --records 100000 --index keep --index rebuild --rounds 5 --slow-rounds 1

--python has chromadb and numpy; this script itself needs numpy. A set is a file of texts ({"id", "text"} a line)
with paired vectors, row by row; vectors can be joined side by side from several files, each cut after some components
(`A.npy+B.npy:384`). If there are fewer texts than --records, texts are repeated with a number put before, and their
vectors are mixtures of two random ones with some noise. The projection is trained from the pairs, once, not in the times.

Medians of --rounds count (--slow-rounds for script and add; 0 leaves them out). A time is that of the whole command,
process start included; peak memory is that of the process, mapped files included, and without them.

Each command starts with memory at hand: a virtual machine gives back what lies free, and who needs it next waits for it (`cp -r` of
0.4 GB: 0.3 s or 1.2 s). So as much as a command may need is touched just before it.
"""
import argparse
import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import threading
import time

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
COLLECTION = "docs"

MAKE = r"""
import json, sys
import chromadb, numpy as np
from chromadb.config import Settings
folder, name, work = sys.argv[1:]
rows = [json.loads(line) for line in open(work + "/rows.jsonl", encoding="utf-8")]
vectors = np.load(work + "/rows.npy")
client = chromadb.PersistentClient(path=folder, settings=Settings(anonymized_telemetry=False))
c = client.create_collection(name, embedding_function=None, configuration={"hnsw": {"space": "cosine"}})
for s in range(0, len(rows), 1000):
    part = rows[s:s + 1000]
    c.add(ids=[r["id"] for r in part], documents=[r["text"] for r in part], embeddings=vectors[s:s + 1000],
          metadatas=[{"length": len(r["text"]), "part": s // 1000} for r in part])
print(chromadb.__version__)
"""

CHECK = r"""
import json, sys
import chromadb, numpy as np
from chromadb.config import Settings
folder, name, dimension, records = sys.argv[1:]
client = chromadb.PersistentClient(path=folder, settings=Settings(anonymized_telemetry=False))
c = client.get_collection(name, embedding_function=None)
got = c.get(include=["embeddings", "documents"])
v = np.asarray(got["embeddings"], dtype=np.float32)
assert v.shape == (int(records), int(dimension)), v.shape
assert np.isfinite(v).all() and all(got["documents"])
at = np.random.RandomState(5).choice(len(v), 200, replace=False)
u = v / np.linalg.norm(v, axis=1, keepdims=True)
ids = np.array(got["ids"])
want = [set(ids[np.argsort(-(u @ u[i]))[:10]]) for i in at]
found = c.query(query_embeddings=v[at], n_results=10)["ids"]
print(sum(len(w & set(f)) for w, f in zip(want, found)) / (10 * len(at)))
"""


ADD = r"""
import sys, time
import chromadb, numpy as np
from chromadb.config import Settings
folder, vectors = sys.argv[1:]
vectors = np.load(vectors)
client = chromadb.PersistentClient(path=folder, settings=Settings(anonymized_telemetry=False))
c = client.create_collection("docs", embedding_function=None, configuration={"hnsw": {"space": "cosine"}})
most = client.get_max_batch_size()
start = time.perf_counter()
for s in range(0, len(vectors), most):
    c.add(ids=["record-%d" % i for i in range(s, min(s + most, len(vectors)))], embeddings=vectors[s:s + most])
print(time.perf_counter() - start)
"""


def joined(files):
    """Vectors of several files side by side, of length 1."""
    parts = []
    for one in files.split("+"):
        path, _, components = one.partition(":")
        parts.append(np.load(path).astype(np.float32)[:, : int(components) if components else None])
    vectors = np.hstack(parts)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def read_sets(sets, records, work):
    """Texts, source and target vectors of all sets; then rows.jsonl and rows.npy with exactly `records` rows."""
    rows, source, target = [], [], []
    for one in sets:
        texts, s, t = one.split(",")
        with open(texts, encoding="utf-8") as lines:
            rows += [json.loads(line) for line in lines if line.strip()]
        source.append(joined(s))
        target.append(joined(t))
    source, target = np.concatenate(source), np.concatenate(target)
    if not len(rows) == len(source) == len(target):
        sys.exit("texts and vectors are not row by row")
    np.save(os.path.join(work, "source.npy"), source)
    np.save(os.path.join(work, "target.npy"), target)
    rng = np.random.RandomState(7)
    at = np.concatenate([rng.permutation(len(rows))[:records]]
                        + [rng.randint(0, len(rows), max(0, records - len(rows)))])
    vectors = source[at].copy()
    with open(os.path.join(work, "rows.jsonl"), "w", encoding="utf-8") as f:
        for i, row in enumerate(at):
            again = i >= len(rows)
            text = ("%d. " % i if again else "") + rows[row]["text"]
            f.write(json.dumps({"id": "record-%d" % i, "text": text}, ensure_ascii=False) + "\n")
    repeated = vectors[len(rows):]
    for start in range(0, len(repeated), 50_000):
        part = repeated[start:start + 50_000]
        other = source[rng.randint(0, len(rows), len(part))]
        part += rng.uniform(0.3, 0.9, (len(part), 1)).astype(np.float32) * other
        part += 0.3 / vectors.shape[1] ** 0.5 * rng.standard_normal(part.shape).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.save(os.path.join(work, "rows.npy"), vectors)
    return len(repeated)


def weights_of(projection, path):
    """The affine map of a projection file as one matrix with the bias as last row."""
    with open(projection, "rb") as f:
        raw = f.read()
    size, = struct.unpack("<Q", raw[:8])
    header, body = json.loads(raw[8:8 + size]), raw[8 + size:]

    def tensor(name):
        entry = header[name]
        assert entry["dtype"] == "F32", entry["dtype"]
        start, end = entry["data_offsets"]
        return np.frombuffer(body[start:end], dtype="<f4").reshape(entry["shape"])

    weight = tensor("weight").astype(np.float64)
    bias = tensor("target_mean") - weight @ tensor("source_mean")
    np.save(path, np.vstack([weight.T, bias]).astype(np.float32))
    return weight.shape[0]


PEAK = {}

TOUCH = "import mmap; m = mmap.mmap(-1, %d); [m.__setitem__(at, 1) for at in range(0, len(m), 4096)]"


def have_memory(folder):
    """Touches seven times what lies in `folder` in a process that ends: the system then has it at hand."""
    size = sum(os.path.getsize(os.path.join(d, n)) for d, _, names in os.walk(folder) for n in names)
    subprocess.run([sys.executable, "-c", TOUCH % (7 * size)], check=True)


def run(command, watch=None):
    """Seconds and output. The peak memory in MB goes to PEAK[watch]: (all, without mapped files)."""
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    peak = [0, 0]

    def look():
        while watch and child.poll() is None:
            try:
                with open("/proc/%d/status" % child.pid) as f:
                    status = dict(line.split(":", 1) for line in f)
                for i, key in enumerate(["VmHWM", "RssAnon"]):
                    peak[i] = max(peak[i], int(status.get(key, "0").split()[0]) // 1024)
            except (OSError, IndexError):
                pass
            time.sleep(0.01)

    thread = threading.Thread(target=look)
    thread.start()
    out, err = child.communicate()
    seconds = time.perf_counter() - start
    thread.join()
    done = subprocess.CompletedProcess(command, child.returncode, out, err)
    if watch:
        PEAK[watch] = peak
    if done.returncode != 0:
        sys.exit("%s\nended with %d\n%s%s" % (" ".join(command), done.returncode, done.stdout, done.stderr))
    return seconds, done.stdout


def train(a, work):
    folder = os.path.join(work, "projections")
    shutil.rmtree(folder, ignore_errors=True)
    run([a.embedport, "train", "--source-vectors", os.path.join(work, "source.npy"),
         "--target-vectors", os.path.join(work, "target.npy"), "--source-model", a.source_model,
         "--target-model", a.target_model, "--method", "contrast", "--output-dir", folder,
         "--registry", os.path.join(folder, "registry.json")])
    return trained(work)


def trained(work):
    """The projection that `train` left."""
    folder = os.path.join(work, "projections")
    files = [n for n in os.listdir(folder) if n.endswith(".safetensors")]
    assert len(files) == 1, files
    return os.path.join(folder, files[0])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--embedport", required=True)
    p.add_argument("--python", default=sys.executable)
    p.add_argument("--work", required=True)
    p.add_argument("--set", action="append", default=[], metavar="TEXTS,SOURCE,TARGET")
    p.add_argument("--records", type=int, default=20_000)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--slow-rounds", type=int, default=1)
    p.add_argument("--index", action="append", choices=["auto", "keep", "rebuild"])
    p.add_argument("--reuse", action="store_true", help="the rows, projection and database that an earlier run left in WORK")
    p.add_argument("--projection", help="a projection file; trained from the sets if it is not given")
    p.add_argument("--source-model", default="bench/source")
    p.add_argument("--target-model", default="bench/target")
    p.add_argument("--argument", action="append", default=[], help="further argument of migrate-collection")
    p.add_argument("--json", action="store_true", help="print JSON, not a table")
    a = p.parse_args()
    if not a.set and not a.reuse:
        p.error("--set is missing")
    os.makedirs(a.work, exist_ok=True)

    if a.reuse:
        with open(os.path.join(a.work, "result.json")) as f:
            repeated = json.load(f)["of_which_repeated_with_noise"]
        projection = a.projection or trained(a.work)
    else:
        repeated = read_sets(a.set, a.records, a.work)
        projection = a.projection or train(a, a.work)
    weights = os.path.join(a.work, "weights.npy")
    dimension = weights_of(projection, weights)
    original = os.path.join(a.work, "original")
    if a.reuse:
        release = run([a.python, "-c", "import chromadb; print(chromadb.__version__)"])[1].strip()
    else:
        shutil.rmtree(original, ignore_errors=True)
        release = run([a.python, "-c", MAKE, original, COLLECTION, a.work])[1].strip()

    def copy(name):
        folder = os.path.join(a.work, name)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(original, folder)
        os.sync()
        return folder

    times, recall, steps = {}, {}, {}

    def note(name, seconds):
        times.setdefault(name, []).append(seconds)

    def check(name, folder):
        recall[name] = float(run([a.python, "-c", CHECK, folder, COLLECTION, str(dimension), str(a.records)])[1])

    for round in range(a.rounds):
        copied = os.path.join(a.work, "with-cp")
        shutil.rmtree(copied, ignore_errors=True)
        os.sync()
        have_memory(original)
        note("cp -r", run(["sh", "-c", 'cp -r "$0" "$1" && sync', original, copied])[0])
        shutil.rmtree(copied)
        for way in a.index or ["auto", "keep", "rebuild"]:
            name, folder = "--index " + way, copy("with-embedport")
            have_memory(original)
            seconds, out = run([a.embedport, "migrate-collection", "--store", folder, "--collection", COLLECTION,
                                "--projection", projection, "--yes", "--json", "--index", way] + a.argument, name)
            note(name, seconds)
            steps[name] = json.loads(out)
            if round == 0:
                check(name, folder)
            seconds, _ = run([a.embedport, "rollback", "--store", folder, "--json"])
            note("rollback", seconds)
            shutil.rmtree(folder)
        if round < a.slow_rounds:
            folder = copy("with-script")
            have_memory(original)
            seconds, out = run([a.python, os.path.join(HERE, "native_way.py"), folder, COLLECTION, weights])
            note("script", seconds)
            steps["script"] = json.loads(out)["seconds"]
            check("script", folder)
            shutil.rmtree(folder)
            w = np.load(weights)
            rows = np.load(os.path.join(a.work, "rows.npy")) @ w[:-1] + w[-1]
            np.save(os.path.join(a.work, "new.npy"), rows / np.linalg.norm(rows, axis=1, keepdims=True))
            del rows
            folder = os.path.join(a.work, "with-add")
            shutil.rmtree(folder, ignore_errors=True)
            have_memory(original)
            note("add", float(run([a.python, "-c", ADD, folder, os.path.join(a.work, "new.npy")])[1]))
            shutil.rmtree(folder)

    medians = {name: statistics.median(values) for name, values in times.items()}
    size = sum(os.path.getsize(os.path.join(d, n)) for d, _, names in os.walk(original) for n in names)
    result = {
        "records": a.records, "of_which_repeated_with_noise": repeated, "chromadb": release,
        "source_dimension": int(np.load(weights, mmap_mode="r").shape[0] - 1), "target_dimension": dimension,
        "database_bytes": size, "cores": os.cpu_count(), "rounds": a.rounds, "seconds": times, "median": medians,
        "recall_at_10_of_chroma": recall, "script_steps": steps.get("script"), "peak_mb": PEAK,
        "index": {name: step["index"] for name, step in steps.items() if "index" in step},
        "stages": {name: step["seconds"] for name, step in steps.items() if name.startswith("--index")},
    }
    with open(os.path.join(a.work, "result.json"), "w") as f:
        json.dump(result, f, indent=1)
    if a.json:
        print(json.dumps(result, indent=1))
        return
    print("%d records, %d to %d dimensions, cosine, chromadb %s, %.0f MB, %d cores, median of %d\n"
          % (a.records, result["source_dimension"], dimension, release, size / 1e6, result["cores"], a.rounds))
    print("| whole command | seconds | of cp -r | peak memory, MB (without mapped files) | Chroma's own recall@10 after |")
    print("|---|---|---|---|---|")
    for name, seconds in medians.items():
        after = "%.4f" % recall[name] if name in recall else ""
        peak = "%d (%d)" % tuple(PEAK[name]) if name in PEAK else ""
        print("| %s | %.2f | %.2f | %s | %s |" % (name, seconds, seconds / medians["cp -r"], peak, after))
    print(json.dumps(result["index"]))
    print(json.dumps(result["stages"]))


if __name__ == "__main__":
    main()
