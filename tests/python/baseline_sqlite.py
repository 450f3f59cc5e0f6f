#!/usr/bin/env python3
"""What a careful Python user would write instead of embedport, and the files to try both on.

  baseline_sqlite.py make-plain DB [--n 1000000] [--dim 384]     a plain table of float32 blobs
  baseline_sqlite.py make-vec0 DB [--n 100000] [--dim 384]       a vec0 table of sqlite-vec
  baseline_sqlite.py plain DB MAP.npz [--careful]                moves the vectors of the one or the other in place
  baseline_sqlite.py vec0 DB MAP.npz [--careful]
  baseline_sqlite.py make-map MAP.npz --dim 384 --to 768         a map to try: W (dim x to) and b, float32

The rows are mapped by x @ W + b and normalised, all in one transaction. --careful: the file is copied first, to the disk, and in
the end everything is read back: each vector is what was to be written, finite and of length 1, and all other columns are as they
were. Prints seconds by stage as one line of JSON.
"""
import argparse, json, os, shutil, time
import numpy as np
import sqlite_common as common

BATCH = 10_000


def make(path, n, dim, insert, create):
    if os.path.exists(path):
        raise SystemExit("exists: " + path)
    c = common.connect(path)
    c.execute("pragma cache_size = -400000")
    c.execute(create)
    r = np.random.default_rng(7)
    for lo in range(0, n, BATCH):
        v = r.standard_normal((min(BATCH, n - lo), dim), dtype=np.float32)
        v /= np.linalg.norm(v, axis=1, keepdims=True)
        c.executemany(insert, ((lo + i + 1, "record %d of a table" % (lo + i), v[i].tobytes()) for i in range(len(v))))
    c.commit()
    c.close()


class Clock:
    def __init__(self):
        self.seconds, self.last = {}, time.perf_counter()

    def stage(self, name):
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self.last
        self.last = now


def mapped(blobs, w, b):
    x = np.frombuffer(b"".join(blobs), "<f4").reshape(len(blobs), w.shape[0])
    y = x @ w + b
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    return y.astype("<f4", copy=False)


class Careful:
    """A copy before, and a look at everything afterwards. Python's hash of bytes stands for them."""

    def __init__(self, path, wanted, clock):
        self.wanted, self.clock, self.new, self.rest = wanted, clock, [], 0
        if wanted:
            shutil.copyfile(path, path + ".backup")
            with open(path + ".backup", "rb") as copy:
                os.fsync(copy.fileno())
            clock.stage("copy")

    def see(self, rows, y):
        """Rows of id, text and old vector, and their new vectors."""
        if self.wanted:
            self.new.extend(hash(v.tobytes()) for v in y)
            self.rest = hash((self.rest, *((r[0], r[1]) for r in rows)))

    def look(self, c, select, dim):
        """Reads everything back, in the same order and in as many rows at a time."""
        if not self.wanted:
            return
        at, rest, found = 0, 0, c.execute(select)
        while rows := found.fetchmany(BATCH):
            v = np.frombuffer(b"".join(r[2] for r in rows), "<f4").reshape(len(rows), dim)
            assert np.isfinite(v).all() and np.abs(np.linalg.norm(v, axis=1) - 1).max() < 1e-3
            assert [hash(r[2]) for r in rows] == self.new[at:at + len(rows)]
            rest = hash((rest, *((r[0], r[1]) for r in rows)))
            at += len(rows)
        assert at == len(self.new) and rest == self.rest
        self.clock.stage("read back")


def move_plain(path, w, b, careful):
    clock = Clock()
    careful = Careful(path, careful, clock)
    c = common.connect(path, extension=False)
    c.isolation_level = None
    c.execute("pragma cache_size = -400000")
    c.execute("begin immediate")
    last, count = 0, 0
    # Texts are read only where they are looked at.
    select = "select id, %s embedding from notes where id > ? order by id limit ?" % ("body," if careful.wanted else "")
    while True:
        rows = c.execute(select, (last, BATCH)).fetchall()
        clock.stage("read")
        if not rows:
            break
        y = mapped([r[-1] for r in rows], w, b)
        careful.see(rows, y)
        clock.stage("map")
        c.executemany("update notes set embedding = ? where id = ?", ((y[i].tobytes(), r[0]) for i, r in enumerate(rows)))
        clock.stage("write")
        last, count = rows[-1][0], count + len(rows)
    c.execute("commit")
    clock.stage("commit")
    careful.look(c, "select id, body, embedding from notes order by id", w.shape[1])
    c.close()
    return count, clock


def move_vec0(path, w, b, careful):
    clock = Clock()
    careful = Careful(path, careful, clock)
    c = common.connect(path)
    c.isolation_level = None
    c.execute("pragma cache_size = -400000")
    c.execute("begin immediate")
    rows = c.execute("select id, body, embedding from items").fetchall()
    clock.stage("read")
    parts = [mapped([r[2] for r in rows[lo:lo + BATCH]], w, b) for lo in range(0, len(rows), BATCH)]
    y = np.concatenate(parts)
    for lo in range(0, len(rows), BATCH):
        careful.see(rows[lo:lo + BATCH], y[lo:lo + BATCH])
    clock.stage("map")
    c.execute("drop table items")
    c.execute("create virtual table items using vec0(id integer primary key, +body text, embedding float[%d])" % w.shape[1])
    clock.stage("drop and create")
    c.executemany("insert into items (id, body, embedding) values (?, ?, ?)", ((r[0], r[1], y[i].tobytes()) for i, r in enumerate(rows)))
    clock.stage("write")
    c.execute("commit")
    clock.stage("commit")
    careful.look(c, "select id, body, embedding from items", w.shape[1])
    c.close()
    return len(rows), clock


def main():
    p = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    p.add_argument("act", choices=["make-plain", "make-vec0", "make-map", "plain", "vec0"])
    p.add_argument("path")
    p.add_argument("map", nargs="?")
    p.add_argument("--n", type=int)
    p.add_argument("--dim", type=int, default=384)
    p.add_argument("--to", type=int)
    p.add_argument("--careful", action="store_true")
    a = p.parse_args()
    if a.act == "make-plain":
        make(a.path, a.n or 1_000_000, a.dim, "insert into notes (id, body, embedding) values (?, ?, ?)",
             "create table notes (id integer primary key, body text, embedding blob)")
    elif a.act == "make-vec0":
        make(a.path, a.n or 100_000, a.dim, "insert into items (id, body, embedding) values (?, ?, ?)",
             "create virtual table items using vec0(id integer primary key, +body text, embedding float[%d])" % a.dim)
    elif a.act == "make-map":
        r, to = np.random.default_rng(3), a.to or a.dim
        np.savez(a.path, W=(r.standard_normal((a.dim, to)) / a.dim ** 0.5).astype(np.float32), b=(0.01 * r.standard_normal(to)).astype(np.float32))
    else:
        m = np.load(a.map)
        start = time.perf_counter()
        count, clock = (move_plain if a.act == "plain" else move_vec0)(a.path, m["W"], m["b"], a.careful)
        print(json.dumps({"rows": count, "total": round(time.perf_counter() - start, 3), "stages": {k: round(s, 3) for k, s in clock.seconds.items()}}))


if __name__ == "__main__":
    main()
