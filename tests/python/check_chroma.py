#!/usr/bin/env python3
"""Open a local Chroma database with the chromadb release installed in the running
interpreter and check one collection against known truth, then show that it is alive.

  check_chroma.py DB TRUTH.json [--vectors NEW.npy] [...]

TRUTH.json as written by make_chroma.py (ids, documents, metadatas, space, collection).
--vectors: float32 .npy, row i is the vector expected for ids[i] (default: TRUTH.npy next to it).
Stage 1 (fresh process)  count, ids, every vector, documents, metadatas, distances, recall@10
Stage 2 (same process)   add, update, upsert, metadata-only update, delete, bulk add past the sync threshold
Stage 3 (fresh process)  everything of stage 1 again against the changed truth
Works on a copy of the database unless --in-place. JSON summary on stdout; exit code 0 only if all is well.
"""
import argparse, json, os, shutil, sys, tempfile, time
os.environ.setdefault("ANONYMIZED_TELEMETRY", "False")
import numpy as np


def exact(space, X, q):
    if space == "l2":
        return ((X - q) ** 2).sum(1)
    if space == "ip":
        return 1.0 - X @ q
    n = np.linalg.norm(X, axis=1) * np.linalg.norm(q)
    return 1.0 - (X @ q) / np.maximum(n, 1e-30)


def col_open(a, t):
    import chromadb
    from chromadb.config import Settings
    kw = {k: t[k] for k in ("tenant", "database") if k in t}
    client = chromadb.PersistentClient(path=a.db, settings=Settings(anonymized_telemetry=False), **kw)
    return client, client.get_collection(t["collection"], embedding_function=None)


def verify(a, t, V, out):
    err = out["errors"]
    t0 = time.time()
    client, col = col_open(a, t)
    n = col.count()
    out["count"] = n
    out["count_seconds"] = round(time.time() - t0, 3)      # 1.x replays the queue here
    if n != len(t["ids"]):
        err.append("count %d, expected %d" % (n, len(t["ids"])))
    pos = {i: k for k, i in enumerate(t["ids"])}
    seen, worst, bad_vec, bad_doc, bad_meta = set(), 0.0, [], [], []
    # (old chromadb returns embeddings in segment order, so trust only the ids it names)
    for lo in range(0, max(n, 1), 500):
        g = col.get(limit=500, offset=lo, include=["embeddings", "documents", "metadatas"])
        for k, i in enumerate(g["ids"]):
            seen.add(i)
            if i not in pos:
                continue
            e = g["embeddings"][k]
            w = V[pos[i]]
            if e is None or len(e) != len(w):
                bad_vec.append((i, "dim %s" % (None if e is None else len(e))))
                continue
            d = float(np.abs(np.asarray(e, np.float32) - w).max() / max(1e-12, float(np.abs(w).max())))
            worst = max(worst, d)
            if not d <= a.tol:
                bad_vec.append((i, round(d, 5)))
            if t["documents"] is not None and g["documents"][k] != t["documents"][pos[i]]:
                bad_doc.append(i)
            if t["metadatas"] is not None:
                m = g["metadatas"][k]
                m2 = t["metadatas"][pos[i]]
                ok = m is not None and set(m) == set(m2) and all(
                    (abs(m[x] - m2[x]) < 1e-9 if isinstance(m2[x], float) else m[x] == m2[x]) for x in m2)
                if not ok:
                    bad_meta.append(i)
    miss, surplus = set(pos) - seen, seen - set(pos)
    for nm, b in (("missing ids", miss), ("surplus ids", surplus), ("wrong vectors", bad_vec),
                  ("wrong documents", bad_doc), ("wrong metadatas", bad_meta)):
        out[nm.replace(" ", "_")] = len(b)
        if b:
            err.append("%s: %d, e.g. %s" % (nm, len(b), list(b)[:3]))
    out["worst_relative_vector_error"] = worst
    out["get_seconds"] = round(time.time() - t0, 3)
    # queries
    r = np.random.RandomState(5)
    nq = min(a.queries, len(t["ids"]))
    base = V[r.choice(len(V), nq, replace=False)]
    Q = (base + 0.25 * base.std() * r.randn(*base.shape)).astype(np.float32)
    k = min(10, len(t["ids"]))
    hit = tot = 0
    worst_d = 0.0
    top1 = 0
    tq = time.time()
    for q in Q:
        res = col.query(query_embeddings=[q.tolist()], n_results=k, include=["distances"])
        ids, ds = res["ids"][0], res["distances"][0]
        D = exact(t["space"], V, q)
        kth = np.partition(D, k - 1)[k - 1]
        tol = 1e-4 * max(1.0, abs(float(kth)))
        if len(ids) == k + 1 and out["release"].startswith("0.4."):
            ids, ds = ids[:k], ds[:k]      # a flaw of these releases themselves while writes wait in their batch
        if len(ids) != k:
            err.append("query returned %d of %d" % (len(ids), k))
        for i, d in zip(ids, ds):
            tot += 1
            if i not in pos:
                err.append("query returned unknown id " + i)
                continue
            worst_d = max(worst_d, abs(float(D[pos[i]]) - d) / max(1.0, abs(float(kth))))
            hit += D[pos[i]] <= kth + tol
        top1 += bool(ids) and ids[0] in pos and D[pos[ids[0]]] <= D.min() + tol
    out["query_seconds"] = round(time.time() - tq, 3)
    out["recall_at_10"] = round(hit / max(1, nq * k), 4)
    out["top1"] = round(top1 / max(1, nq), 4)
    out["worst_distance_error"] = round(worst_d, 6)
    if out["recall_at_10"] < a.min_recall:
        err.append("recall %.4f under %.4f" % (out["recall_at_10"], a.min_recall))
    if worst_d > 2e-3:
        err.append("distances off by %.5f" % worst_d)
    # filters go through the metadata segment and then the label map
    if t["metadatas"] is not None and any("even" in m for m in t["metadatas"]) and "ids" in t:
        ok = {i for i, m in zip(t["ids"], t["metadatas"]) if m.get("even") is True}
        if len(ok) >= 10:
            res = col.query(query_embeddings=[Q[0].tolist()], n_results=10, where={"even": True})
            if not set(res["ids"][0]) <= ok or len(res["ids"][0]) not in (10, 11):   # 0.4.24 itself may return one too many
                err.append("filtered query wrong")
    docs = [d for d in (t["documents"] or []) if d]
    if docs and not a.no_full_text:
        word = docs[0].split()[-1]
        want = {i for i, d in zip(t["ids"], t["documents"]) if d and word in d}
        got = set(col.get(where_document={"$contains": word}, include=[])["ids"])
        if got != want:
            err.append("full-text search: %d hits, expected %d" % (len(got), len(want)))
    # a vector of another dimension has to be refused
    try:
        col.query(query_embeddings=[[0.1] * (V.shape[1] + 1)], n_results=1)
        err.append("query of another dimension was accepted")
    except Exception as e:
        out["dimension_error"] = "%s: %s" % (type(e).__name__, str(e)[:160])
    return client, col


def mutate(a, t, V, out):
    err = out["errors"]
    client, col = col_open(a, t)
    r = np.random.RandomState(11)
    dim = V.shape[1]
    st = {i: [V[k].copy(), (t["documents"][k] if t["documents"] else None), dict(t["metadatas"][k]) if t["metadatas"] else None]
          for k, i in enumerate(t["ids"])}
    ids0 = list(st)
    sc = float(V.std())
    rv = lambda m: (V[r.choice(len(V), m)] + 0.6 * sc * r.randn(m, dim)).astype(np.float32)
    nid = ["new-%03d" % i for i in range(20)]
    nv = rv(20)
    col.add(ids=nid, embeddings=[x.tolist() for x in nv], documents=["fresh " + i for i in nid],
            metadatas=[{"n": 500000 + i} for i in range(20)])
    for i, v in zip(nid, nv):
        st[i] = [v, "fresh " + i, {"n": 500000 + int(i[4:])}]
    pick = [ids0[x] for x in r.choice(len(ids0), min(23, len(ids0) // 2), replace=False)]
    up, us, mo, de = pick[:5], pick[5:10], pick[10:13], pick[13:23]
    if up:
        uv = rv(len(up))
        col.update(ids=up, embeddings=[x.tolist() for x in uv])
        for i, v in zip(up, uv):
            st[i][0] = v
    us2 = us + ["ups-%d" % i for i in range(5)]
    uv = rv(len(us2))
    col.upsert(ids=us2, embeddings=[x.tolist() for x in uv], documents=["upserted " + i for i in us2],
               metadatas=[{"n": -7} for _ in us2])
    for i, v in zip(us2, uv):
        old = dict(st[i][2]) if i in st and st[i][2] else {}
        old["n"] = -7
        st[i] = [v, "upserted " + i, old]
    if mo:
        col.update(ids=mo, metadatas=[{"n": -9} for _ in mo])
        for i in mo:
            st[i][2] = dict(st[i][2] or {}, n=-9)
    if de:
        col.delete(ids=de)
        for i in de:
            del st[i]
    out["after_ops_count"] = col.count()
    if col.count() != len(st):
        err.append("count after changes %d, expected %d" % (col.count(), len(st)))
    for i, v in list(zip(nid, nv))[:10] + list(zip(us2, uv))[:5]:
        res = col.query(query_embeddings=[v.tolist()], n_results=3)
        # with ip a vector need not be its own best match
        if t["space"] != "ip" and i not in res["ids"][0]:
            err.append("just written vector not found: " + i)
    if a.bulk:
        bv = rv(a.bulk)
        bid = ["bulk-%05d" % i for i in range(a.bulk)]
        for lo in range(0, a.bulk, 250):
            col.add(ids=bid[lo:lo + 250], embeddings=[x.tolist() for x in bv[lo:lo + 250]],
                    documents=["bulk"] * len(bid[lo:lo + 250]), metadatas=[{"n": 1}] * len(bid[lo:lo + 250]))
        for i, v in zip(bid, bv):
            st[i] = [v, "bulk", {"n": 1}]
        de = bid[:7]
        col.delete(ids=de)
        for i in de:
            del st[i]
    ids = list(st)
    return dict(t, ids=ids, documents=[st[i][1] for i in ids], metadatas=[st[i][2] for i in ids]), np.stack([st[i][0] for i in ids])


class Later:
    """A process that was forked before any database was opened: as good as a fresh one, without the seconds
    that importing chromadb takes. It waits for the arguments of stage 3 and answers with the findings."""

    def __init__(self):
        get, self.send = os.pipe()
        self.receive, put = os.pipe()
        self.child = os.fork()
        if self.child:
            os.close(get), os.close(put)
            return
        os.close(self.send), os.close(self.receive)
        try:
            with os.fdopen(get, "rb") as f:
                text = f.read()
            if text:
                import chromadb
                a = argparse.Namespace(**json.loads(text))
                t = json.load(open(a.truth))
                out = {"release": chromadb.__version__, "errors": []}
                try:
                    verify(a, t, np.load(a.vectors), out)
                except Exception as e:
                    out["errors"].append("%s: %s" % (type(e).__name__, str(e)[:400]))
                with os.fdopen(put, "w") as f:
                    json.dump(out, f)
        finally:
            os._exit(0)

    def start(self, a):
        with os.fdopen(self.send, "w") as f:
            json.dump(vars(a), f)
        with os.fdopen(self.receive) as f:
            text = f.read()
        status = os.waitpid(self.child, 0)[1]
        return json.loads(text) if text else {"errors": ["stage 3 died: status %d" % status]}


def main():
    p = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter, description=__doc__)
    p.add_argument("db")
    p.add_argument("truth")
    p.add_argument("--vectors")
    p.add_argument("--queries", type=int, default=50)
    p.add_argument("--min-recall", type=float, default=0.95)
    p.add_argument("--tol", type=float, default=2e-5, help="largest |difference| relative to the vector's largest component")
    p.add_argument("--bulk", type=int, default=1300, help="records added to make Chroma write its HNSW files")
    p.add_argument("--read-only-checks", action="store_true", help="stage 1 only")
    p.add_argument("--no-full-text", action="store_true", help="leave out the search for a word")
    p.add_argument("--in-place", action="store_true")
    p.add_argument("--also", action="append", default=[], help="truth of another collection that must be as it was (stage 1 only, repeatable)")
    a = p.parse_args()
    try:
        t = json.load(open(a.truth))
        V = np.load(a.vectors or a.truth[:-5] + ".npy").astype(np.float32)
        if V.ndim != 2 or len(V) != len(t["ids"]):
            raise ValueError("vectors %s do not fit %d ids" % (V.shape, len(t["ids"])))
    except Exception as e:
        print(json.dumps({"ok": False, "errors": ["truth unreadable: %s: %s" % (type(e).__name__, e)]}))
        return 2
    import chromadb
    later = None if a.read_only_checks else Later()
    out = {"release": chromadb.__version__, "collection": t["collection"], "space": t["space"], "dim": int(V.shape[1]), "errors": []}
    tmp = None
    try:
        if not a.in_place:
            tmp = tempfile.mkdtemp(prefix="chroma_check_")
            shutil.copytree(a.db, os.path.join(tmp, "db"))
            a.db = os.path.join(tmp, "db")
        try:
            verify(a, t, V, out)
            for path in a.also:
                t2 = json.load(open(path))
                out2 = {"release": chromadb.__version__, "errors": []}
                verify(a, t2, np.load(path[:-5] + ".npy").astype(np.float32), out2)
                out["errors"] += ["%s: %s" % (t2["collection"], e) for e in out2["errors"]]
            if not a.read_only_checks:
                t2, V2 = mutate(a, t, V, out)
                d = tmp or tempfile.mkdtemp(prefix="chroma_check_")
                json.dump(t2, open(os.path.join(d, "t2.json"), "w"))
                np.save(os.path.join(d, "t2.npy"), V2)
                a.truth, a.vectors = os.path.join(d, "t2.json"), os.path.join(d, "t2.npy")
                out["reopened"] = later.start(a)
                out["errors"] += ["reopened: " + e for e in out["reopened"]["errors"]]
        except Exception as e:
            import traceback
            out["errors"].append("%s: %s" % (type(e).__name__, str(e)[:400]))
            if os.environ.get("CHECK_TRACE"):
                traceback.print_exc()
    finally:
        if tmp:
            shutil.rmtree(tmp, ignore_errors=True)
    out["ok"] = not out["errors"]
    print(json.dumps(out))
    sys.stdout.flush()
    os._exit(0 if out["ok"] else 1)


if __name__ == "__main__":
    sys.exit(main())
