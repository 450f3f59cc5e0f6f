#!/usr/bin/env python3
"""embedport beside `cp` and beside careful Python on SQLite files, whole commands in turns in the same run.

  .venv/sqlite/bin/python benches/sqlite.py EMBEDPORT FOLDER [--rounds 3] [--plain 1000000] [--vec0 100000]

python: one transaction, without a backup, and nothing is read back; careful python: with both, as embedport does it.
plain: a table of float32 blobs, 384 to 384 components; vec0: a table of sqlite-vec, 384 to 768. FOLDER has to have room for
about ten times the larger file (2 GB for a million rows). Prints medians of the seconds, and every round, as JSON.

Each command starts with memory at hand: a virtual machine gives back what lies free, and who needs it next waits for it (`cp` of
2 GB: 0.6 s or 5 s). So as much as the command may need is touched just before it.
"""
import argparse, json, os, shutil, statistics, subprocess, sys, time
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
BASELINE = os.path.join(HERE, "..", "tests", "python", "baseline_sqlite.py")


def run(*command, quiet=True):
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=quiet, text=True)
    if done.returncode:
        sys.exit("%s: %s %s" % (command, done.stdout, done.stderr))
    return time.perf_counter() - start


def projection(embedport, folder, source, target):
    """A dense map between made-up models, fitted to rows that it maps exactly."""
    r = np.random.default_rng(5)
    x = r.standard_normal((3000, source), dtype=np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = x @ r.standard_normal((source, target), dtype=np.float32)
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    paths = [os.path.join(folder, name) for name in ("x.npy", "y.npy")]
    np.save(paths[0], x), np.save(paths[1], y)
    name = "map-%d-%d" % (source, target)
    run(embedport, "train", "--source-vectors", paths[0], "--target-vectors", paths[1], "--source-model", "test/a",
        "--target-model", "test/b", "--method", "ridge", "--name", name, "--registry", os.path.join(folder, "registry.json"))
    return name


def have_memory(bytes):
    """Touches so many bytes in a process that ends: the system then has them at hand."""
    run(sys.executable, "-c", "import mmap; m = mmap.mmap(-1, %d); [m.__setitem__(at, 1) for at in range(0, len(m), 4096)]" % bytes)


def copy(source, target):
    have_memory(2 * os.path.getsize(source))
    start = time.perf_counter()
    run("cp", source, target)
    run("sync", target)
    return time.perf_counter() - start


def clear(path):
    for left in (path, path + "-wal", path + "-shm", path + "-journal", path + ".backup"):
        if os.path.exists(left):
            os.remove(left)
    shutil.rmtree(path + ".embedport", ignore_errors=True)


def one(a, kind, rows, source, target):
    made, work, maps = (os.path.join(a.folder, name) for name in (kind + ".db", "work.db", kind + ".npz"))
    if not os.path.exists(made):
        run(sys.executable, BASELINE, "make-" + kind, made, "--n", str(rows), "--dim", str(source))
    run(sys.executable, BASELINE, "make-map", maps, "--dim", str(source), "--to", str(target))
    name = projection(a.embedport, a.folder, source, target)
    table = json.loads(subprocess.run([a.embedport, "inspect", "--json", "--store", made], capture_output=True, text=True).stdout)
    table = table["collections"][0]["name"]
    rounds = []
    for _ in range(a.rounds):
        clear(work)
        seconds = {"cp and sync": copy(made, work)}
        have_memory(3 * os.path.getsize(made))
        seconds["migrate-collection"] = run(
            a.embedport, "migrate-collection", "--store", work, "--collection", table, "--projection", name, "--registry",
            os.path.join(a.folder, "registry.json"), "--source-model", "test/a", "--accept-unrecognised-vectors", "--yes")
        have_memory(2 * os.path.getsize(made))
        seconds["rollback"] = run(a.embedport, "rollback", "--store", work, "--collection", table)
        for who, more in (("python", []), ("careful python", ["--careful"])):
            clear(work)
            copy(made, work)
            have_memory(3 * os.path.getsize(made))
            seconds[who] = run(sys.executable, BASELINE, kind, work, maps, *more)
        clear(work)
        rounds.append(seconds)
        print(kind, {k: round(v, 2) for k, v in seconds.items()}, file=sys.stderr)
    medians = {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}
    return {"rows": rows, "bytes": os.path.getsize(made), "medians": medians, "rounds": rounds,
            "migrate / cp": medians["migrate-collection"] / medians["cp and sync"],
            "python / migrate": medians["python"] / medians["migrate-collection"],
            "careful python / migrate": medians["careful python"] / medians["migrate-collection"]}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("embedport")
    p.add_argument("folder")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--plain", type=int, default=1_000_000)
    p.add_argument("--vec0", type=int, default=100_000)
    a = p.parse_args()
    a.embedport = os.path.abspath(a.embedport)
    os.makedirs(a.folder, exist_ok=True)
    os.chdir(a.folder)
    a.folder = os.getcwd()
    result = {}
    if a.plain:
        result["plain"] = one(a, "plain", a.plain, 384, 384)
    if a.vec0:
        result["vec0"] = one(a, "vec0", a.vec0, 384, 768)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
