#!/usr/bin/env python3
"""Says what real Chroma finds in a database folder: a long-lived process for tests/crash.

  judge.py SCRATCH

A state is the same if every collection is: ids, vectors bit for bit, documents, metadata. Every copy is opened by a
client of its own; queries are compared with exact search. See judging.py.
"""
import gc, json, os, shutil
os.environ.setdefault("ANONYMIZED_TELEMETRY", "False")
import numpy as np
import chromadb
from chromadb.config import Settings

from judging import serve

try:
    from chromadb.api.shared_system_client import SharedSystemClient
except ImportError:
    from chromadb.api.client import SharedSystemClient


def collections(client):
    found = client.list_collections()
    names = sorted(c if isinstance(c, str) else c.name for c in found)
    return [client.get_collection(name, embedding_function=None) for name in names]


def exact(space, X, q):
    if space == "l2":
        return ((X - q) ** 2).sum(1)
    if space == "ip":
        return 1.0 - X @ q
    return 1.0 - (X @ q) / np.maximum(np.linalg.norm(X, axis=1) * np.linalg.norm(q), 1e-30)


def ask(col, ids, X):
    """What is wrong with the answers to some queries, or None."""
    space = (col.metadata or {}).get("hnsw:space", "l2")
    hits = wanted = 0
    for q in X[:: max(1, len(X) // 6)] * 1.1 + 0.01:
        q = q.astype(np.float32)
        k = min(5, len(ids))
        r = col.query(query_embeddings=[q.tolist()], n_results=k, include=["distances"])
        found, said = r["ids"][0][:k], r["distances"][0][:k]
        if len(found) != k:
            return "%s: %d of %d answers" % (col.name, len(found), k)
        D = exact(space, X, q)
        near = set(np.argsort(D, kind="stable")[:k])
        hits += sum(ids[i] in near for i in found)
        wanted += k
        if max(abs(D[ids[i]] - d) for i, d in zip(found, said)) > 2e-3 * max(1.0, abs(float(D.min()))):
            return "%s: distances are not those of the vectors" % col.name
    if hits < 0.85 * wanted:
        return "%s: %d of %d nearest records found" % (col.name, hits, wanted)
    return None


def state(folder, copy):
    shutil.copytree(folder, copy)
    client = chromadb.PersistentClient(path=copy, settings=Settings(anonymized_telemetry=False))
    try:
        found = {}
        for col in collections(client):
            g = col.get(include=["embeddings", "documents", "metadatas"])
            if len(g["ids"]) != col.count():
                raise ValueError("%s: %d records, count says %d" % (col.name, len(g["ids"]), col.count()))
            X = np.asarray(g["embeddings"], np.float32)
            found[col.name] = {i: (x.tobytes(), d, json.dumps(m, sort_keys=True))
                               for i, x, d, m in zip(g["ids"], X, g["documents"], g["metadatas"])}
            wrong = ask(col, {i: k for k, i in enumerate(g["ids"])}, X)
            if wrong:
                raise ValueError(wrong)
        return found
    finally:
        client._system.stop()
        getattr(SharedSystemClient, "clear_system_cache", lambda: None)()
        del client
        gc.collect()
        shutil.rmtree(copy, ignore_errors=True)


def difference(a, b):
    for name in sorted(set(a) | set(b)):
        x, y = a.get(name), b.get(name)
        if x is None or y is None:
            return "collection %s is in one only" % name
        other = [sum(x[i][part] != y[i][part] for i in set(x) & set(y)) for part in range(3)]
        if set(x) != set(y) or any(other):
            return "%s: %d ids differ, %d vectors, %d documents, %d metadata" % ((name, len(set(x) ^ set(y))) + tuple(other))
    return None


if __name__ == "__main__":
    # What the imports made stays: the collection after each folder need not walk through it.
    gc.collect()
    gc.freeze()
    serve(state, difference, lambda found: sum(map(len, found.values())))
