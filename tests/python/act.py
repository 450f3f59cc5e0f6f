#!/usr/bin/env python3
"""Small things done to a database through real chromadb, for tests/chroma_store.rs.

  dump DB TRUTH OUT      on a copy: every record of every collection named in the truth folder, vectors as
                         bytes, and the answers to fixed queries
  change DB NAME         adds 3, deletes 2, changes 4 records (vector only, metadata only, all, upsert)
  hold DB NAME           opens a collection, prints "ready", keeps it open until stdin ends
  functions DB           makes collections with several embedding functions
  touch DB [NAME]        opens the database, lists its collections, counts NAME and reads it
  get DB NAME            opens a collection with no arguments; prints its embedding function or the error
"""
import json, os, shutil, sys, tempfile
os.environ.setdefault("ANONYMIZED_TELEMETRY", "False")
import chromadb
from chromadb.config import Settings


def client(path, **where):
    return chromadb.PersistentClient(path=path, settings=Settings(anonymized_telemetry=False), **where)


def dump(db, truth, out):
    import numpy as np
    tmp = tempfile.mkdtemp(prefix="chroma_dump_")
    copy = os.path.join(tmp, "db")
    shutil.copytree(db, copy)
    found = {}
    for name in sorted(os.listdir(truth)):
        if not name.endswith(".json"):
            continue
        t = json.load(open(os.path.join(truth, name)))
        col = client(copy, tenant=t["tenant"], database=t["database"]).get_collection(t["collection"], embedding_function=None)
        g = col.get(include=["embeddings", "documents", "metadatas"])
        records = {i: [np.asarray(e, np.float32).tobytes().hex(), d, m] for i, e, d, m in
                   zip(g["ids"], g["embeddings"], g["documents"], g["metadatas"])}
        V = np.load(os.path.join(truth, name[:-5] + ".npy"))
        answers = []
        for q in V[:: max(1, len(V) // 15)]:
            r = col.query(query_embeddings=[q.tolist()], n_results=5, include=["distances"])
            answers.append([r["ids"][0], [round(x, 4) for x in r["distances"][0]]])
        found[name] = {"count": col.count(), "records": records, "answers": answers}
    shutil.rmtree(tmp, ignore_errors=True)
    json.dump(found, open(out, "w"), sort_keys=True)


def change(db, name):
    col = client(db).get_collection(name, embedding_function=None)
    ids = col.get(include=[])["ids"]
    dim = len(col.get(ids=ids[:1], include=["embeddings"])["embeddings"][0])
    v = lambda k: [[0.25 * (k + j % 3) for j in range(dim)]]
    for k in range(3):
        col.add(ids=["later-%d" % k], embeddings=v(k), documents=["later text"], metadatas=[{"k": k}])
    col.delete(ids=ids[10:12])
    col.update(ids=[ids[20]], embeddings=v(5))
    col.update(ids=[ids[21]], metadatas=[{"changed": True}])
    col.update(ids=[ids[22]], documents=["another text"], embeddings=v(6), metadatas=[{"changed": 1.5}])
    col.upsert(ids=[ids[23]], embeddings=v(7), documents=["upserted"])


def hold(db, name):
    col = client(db).get_collection(name, embedding_function=None)
    col.count()
    print("ready", flush=True)
    sys.stdin.read()


def functions(db):
    from chromadb.utils import embedding_functions as ef
    c = client(db)
    st = object.__new__(ef.SentenceTransformerEmbeddingFunction)   # without the package that it wraps
    st.model_name, st.device, st.normalize_embeddings, st.kwargs = "paraphrase-MiniLM-L3-v2", "cpu", False, {}
    ef.SentenceTransformerEmbeddingFunction.build_from_config = staticmethod(lambda config: st)
    for name, f in (("none", None), ("default", ef.DefaultEmbeddingFunction()), ("library", st)):
        col = c.create_collection(name, embedding_function=f)
        col.add(ids=["r%d" % i for i in range(30)], embeddings=[[float(i == j) + 0.1 * (i % 7) for j in range(8)] for i in range(30)],
                documents=["text %d" % i for i in range(30)])


def touch(db, *names):
    c = client(db)
    c.list_collections()
    for name in names:
        col = c.get_collection(name, embedding_function=None)
        g = col.get(include=["embeddings"])
        col.query(query_embeddings=[list(map(float, g["embeddings"][0]))], n_results=1)
        print(json.dumps({"count": col.count()}))


def get(db, name):
    try:
        col = client(db).get_collection(name)
        print(json.dumps({"function": col.configuration_json.get("embedding_function"), "count": col.count()}))
    except Exception as e:
        print(json.dumps({"error": "%s: %s" % (type(e).__name__, e)}))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
    sys.stdout.flush()
    os._exit(0)
