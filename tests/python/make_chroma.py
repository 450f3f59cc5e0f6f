#!/usr/bin/env python3
"""Build a local persistent Chroma test database with whatever chromadb release is
installed in the running interpreter (used with 0.4.24, 0.5.23, 0.6.3, 1.0.20 and 1.5.9).

Writes   OUT/db/                the database (chroma.sqlite3 + segment directories)
         OUT/truth/KEY.json     what a collection must contain: ids in order, documents, metadatas, space,
                                dim, release, options used; KEY is its name unless that is not unique
         OUT/truth/KEY.npy      float32 vectors, row i belongs to ids[i] (as given to Chroma)

Every collection goes through: adds in batches -> updates / upserts / deletes -> an
"unsynced tail" of adds that stays below the sync threshold.
Embeddings are explicit always; no embedding model is loaded or downloaded.
"""
import argparse, json, os, random, shutil, sys, time
os.environ.setdefault("ANONYMIZED_TELEMETRY", "False")
import numpy as np


def clustered(n, dim, seed, clusters=50):
    """Deterministic, mildly clustered vectors: HNSW behaves as with real text embeddings."""
    r = np.random.RandomState(seed)
    c = r.randn(clusters, dim).astype(np.float32)
    return (c[r.randint(0, clusters, n)] + 0.7 * r.randn(n, dim)).astype(np.float32)


WORDS = ("amber basin cedar delta ember fjord grove harbor island juniper kernel lagoon meadow "
         "nebula orchid prairie quartz river saffron tundra umbra valley willow xenon yonder zephyr").split()


def make_doc(rng, i):
    return "record %d: %s" % (i, " ".join(rng.choice(WORDS) for _ in range(8)))


def make_meta(rng, i, a):
    m = {"n": i, "score": round(rng.random(), 6), "tag": rng.choice(WORDS)}
    if not a.no_booleans:
        m["even"] = i % 2 == 0
    if a.lists and i % 3:
        m["words"], m["numbers"] = rng.sample(WORDS, i % 3), [i, -i, i]
    return m


ODD_IDS = ["nul\0inside", "\N{GRINNING FACE} \N{FAMILY}\N{ZERO WIDTH JOINER}\N{DOG FACE}", "e\u0301 is not \u00e9", "\u00e9",
           " blank ", "quote'\"`;--", "line\nbreak\r\ttab", "\u202eright to left", "\U0010ffff", "%_like_%", "x" * 300, "y" * 70000]


def open_client(path, tenant=None, database=None):
    import chromadb
    from chromadb.config import Settings
    where = {k: v for k, v in (("tenant", tenant), ("database", database)) if v}
    return chromadb.PersistentClient(path=path, settings=Settings(anonymized_telemetry=False), **where)


def in_a_child(act):
    """Runs act() in a process of its own; chromadb is imported, but no client is open yet."""
    child = os.fork()
    if child == 0:
        try:
            act()
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    if os.waitpid(child, 0)[1] != 0:
        sys.exit("the child failed")


def create(client, name, space, a):
    """Create a collection; old-style metadata or new-style configuration."""
    major = int(a.release.split(".")[0])
    style = a.config_style
    if style == "auto":
        style = "metadata"
    md = {"purpose": "test"}
    kw = dict(embedding_function=None)
    if style == "metadata":
        md["hnsw:space"] = space
        for k, v in (("hnsw:M", a.m), ("hnsw:construction_ef", a.ef_construction),
                     ("hnsw:search_ef", a.ef_search), ("hnsw:batch_size", a.batch_size),
                     ("hnsw:sync_threshold", a.sync_threshold)):
            if v is not None:
                md[k] = v
    else:
        if major < 1:
            sys.exit("--config-style configuration needs chromadb >= 1.0")
        h = {"space": space}
        for k, v in (("max_neighbors", a.m), ("ef_construction", a.ef_construction),
                     ("ef_search", a.ef_search), ("batch_size", a.batch_size),
                     ("sync_threshold", a.sync_threshold)):
            if v is not None:
                h[k] = v
        kw["configuration"] = {"hnsw": h}
    return client.create_collection(name, metadata=md, **kw)


def main():
    p = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter, description=__doc__)
    p.add_argument("out")
    p.add_argument("--n", type=int, default=1200, help="records added before the tail")
    p.add_argument("--dim", type=int, default=32)
    p.add_argument("--vectors", help=".npy with at least n+tail rows; overrides --dim")
    p.add_argument("--space", default="l2", choices=["l2", "cosine", "ip"])
    p.add_argument("--name", default="docs", help="name of the main collection")
    p.add_argument("--extra", type=int, default=0, help="further collections (other spaces and dims) in the same file")
    p.add_argument("--empty", action="store_true", help="also make a collection that never got a record")
    p.add_argument("--tenant-db", action="store_true", help="also make a collection in a second database")
    p.add_argument("--same-name", action="store_true", help="also make collections of the main one's name in a second database and a second tenant")
    p.add_argument("--emptied", action="store_true", help="also make a collection whose records are all deleted")
    p.add_argument("--no-booleans", action="store_true", help="no metadata of that kind, as before 0.4.10")
    p.add_argument("--lists", action="store_true", help="metadata with lists, as 1.5 takes them")
    p.add_argument("--odd-ids", action="store_true", help="give the first records ids with NUL, emoji, 70,000 bytes and so on")
    p.add_argument("--journal", default="delete", choices=["delete", "wal"], help="SQLite's journal mode")
    p.add_argument("--interleave", action="store_true", help="mix the writes of all collections in the shared queue")
    p.add_argument("--updates", type=int, default=0, help="records whose vector is changed by update()")
    p.add_argument("--upserts", type=int, default=0, help="records whose vector is changed by upsert()")
    p.add_argument("--meta-updates", type=int, default=0, help="records where update() changes metadata only (no vector)")
    p.add_argument("--deletes", type=int, default=0)
    p.add_argument("--readd", type=int, default=0, help="of the deleted ids, how many are added again")
    p.add_argument("--tail", type=int, default=0, help="records added last, meant to stay in the queue only")
    p.add_argument("--tail-ops", action="store_true", help="also update, metadata-update and delete some records at the very end")
    p.add_argument("--no-docs", type=int, default=0, help="every k-th record gets no document")
    p.add_argument("--chunk", type=int, default=100, help="records per call")
    p.add_argument("--batch-size", type=int, help="hnsw batch_size")
    p.add_argument("--sync-threshold", type=int)
    p.add_argument("--m", type=int)
    p.add_argument("--ef-construction", type=int)
    p.add_argument("--ef-search", type=int)
    p.add_argument("--config-style", default="auto", choices=["auto", "metadata", "configuration"])
    p.add_argument("--keep-wal", action="store_true", help="turn off automatic purging of embeddings_queue (0.5.6 and later)")
    p.add_argument("--seed", type=int, default=7)
    p.add_argument("--force", action="store_true")
    a = p.parse_args()

    import chromadb
    a.release = chromadb.__version__
    if os.path.exists(a.out):
        if not a.force:
            sys.exit("exists: " + a.out)
        shutil.rmtree(a.out)
    db = os.path.join(a.out, "db")
    truth = os.path.join(a.out, "truth")
    os.makedirs(truth)
    if a.keep_wal or a.journal != "delete":
        # the purge setting is read once per process, so let a child create the file first
        import sqlite3
        in_a_child(lambda: open_client(db))
        c = sqlite3.connect(os.path.join(db, "chroma.sqlite3"))
        c.execute("pragma journal_mode = %s" % a.journal)
        if a.keep_wal and c.execute("select count(*) from sqlite_master where name='embeddings_queue_config'").fetchone()[0]:
            c.execute("insert or replace into embeddings_queue_config(id,config_json_str) values (1,?)",
                      (json.dumps({"automatically_purge": False, "_type": "EmbeddingsQueueConfigurationInternal"}),))
            c.commit()
        c.close()
    client = open_client(db)

    default = ("default_tenant", "default_database")
    plan = [(a.name, a.name, a.space, None, client) + default]      # key, name, space, dim, client, tenant, database
    spaces = ["cosine", "ip", "l2"]
    for i in range(a.extra):
        plan.append(("extra%d" % i, "extra%d" % i, spaces[i % 3], 16 + 8 * i, client) + default)
    if a.tenant_db or a.same_name:
        from chromadb.config import Settings
        admin = chromadb.AdminClient(Settings(anonymized_telemetry=False, is_persistent=True, persist_directory=db))
        admin.create_database("second_db")
        second = ("default_tenant", "second_db")
        if a.tenant_db:
            plan.append(("other", "other", "cosine", 24, open_client(db, *second)) + second)
        if a.same_name:
            plan.append((a.name + ".second_db", a.name, "ip", 20, open_client(db, *second)) + second)
            admin.create_tenant("second_tenant")
            admin.create_database("its_db", tenant="second_tenant")
            its = ("second_tenant", "its_db")
            plan.append((a.name + ".second_tenant", a.name, "l2", 12, open_client(db, *its)) + its)
    if a.empty:
        create(client, "empty_one", "l2", a)
    if a.emptied:
        gone = create(client, "emptied_one", "l2", a)
        gone.add(ids=["gone-%d" % i for i in range(150)], embeddings=clustered(150, 9, 1).tolist())
        gone.delete(ids=["gone-%d" % i for i in range(150)])

    class Job:
        pass
    jobs = []
    for k, (key, name, space, dim, cl, tenant, database) in enumerate(plan):
        j = Job()
        j.key, j.name, j.space, j.k, j.tenant, j.database = key, name, space, k, tenant, database
        total = a.n + a.tail
        if k == 0 and a.vectors:
            v = np.load(a.vectors).astype(np.float32)
            if len(v) < total:
                sys.exit("too few vectors: %d < %d" % (len(v), total))
            j.vec = np.ascontiguousarray(v[:total])
        else:
            j.vec = clustered(total, dim or a.dim, a.seed + 100 * k)
        j.dim = j.vec.shape[1]
        j.rng = random.Random(a.seed + k)
        j.col = create(cl, name, space, a)
        j.state = {}                       # id -> [vec, doc, meta], insertion ordered
        jobs.append(j)

    def put(j, lo, hi):
        ids = [ODD_IDS[i] if a.odd_ids and i < len(ODD_IDS) else "%s-%05d" % (j.name, i) for i in range(lo, hi)]
        metas = [make_meta(j.rng, i, a) for i in range(lo, hi)]
        docs = [None if a.no_docs and i % a.no_docs == 0 else make_doc(j.rng, i) for i in range(lo, hi)]
        for grp in (True, False):          # Chroma wants documents for all records of a call or for none
            s = [x for x in range(len(ids)) if (docs[x] is not None) == grp]
            if not s:
                continue
            kw = dict(ids=[ids[x] for x in s], embeddings=[j.vec[lo + x].tolist() for x in s],
                      metadatas=[metas[x] for x in s])
            if grp:
                kw["documents"] = [docs[x] for x in s]
            j.col.add(**kw)
        for x, i in enumerate(ids):
            j.state[i] = [j.vec[lo + x].copy(), docs[x], metas[x]]

    def pick(j, n):
        live = list(j.state)
        return j.rng.sample(live, min(n, len(live)))

    def changed(j, ids, salt):
        """A new vector near another record's vector."""
        r = np.random.RandomState(a.seed + salt + j.k)
        return [(j.vec[r.randint(len(j.vec))] + 0.3 * r.randn(j.dim)).astype(np.float32) for _ in ids]

    t0 = time.time()
    if a.interleave:
        for lo in range(0, a.n, a.chunk):
            for j in jobs:
                put(j, lo, min(a.n, lo + a.chunk))
    else:
        for j in jobs:
            for lo in range(0, a.n, a.chunk):
                put(j, lo, min(a.n, lo + a.chunk))
    for j in jobs:
        if a.updates:
            ids = pick(j, a.updates); vv = changed(j, ids, 1)
            j.col.update(ids=ids, embeddings=[v.tolist() for v in vv])
            for i, v in zip(ids, vv):
                j.state[i][0] = v
        if a.upserts:
            ids = pick(j, a.upserts); vv = changed(j, ids, 2)
            docs = [make_doc(j.rng, 90000 + x) for x in range(len(ids))]
            j.col.upsert(ids=ids, embeddings=[v.tolist() for v in vv], documents=docs)
            for i, v, d in zip(ids, vv, docs):
                j.state[i][0] = v; j.state[i][1] = d
        if a.meta_updates:
            ids = pick(j, a.meta_updates)
            j.col.update(ids=ids, metadatas=[{"note": "changed"} for _ in ids])
            for i in ids:
                j.state[i][2]["note"] = "changed"
        if a.deletes:
            ids = pick(j, a.deletes)
            j.col.delete(ids=ids)
            for i in ids:
                del j.state[i]
            if a.readd:
                ids = ids[:a.readd]; vv = changed(j, ids, 3)
                j.col.add(ids=ids, embeddings=[v.tolist() for v in vv], documents=["again " + i for i in ids],
                          metadatas=[{"n": -1} for _ in ids])
                for i, v in zip(ids, vv):
                    j.state[i] = [v, "again " + i, {"n": -1}]
        if a.tail:
            for lo in range(a.n, a.n + a.tail, a.chunk):
                put(j, lo, min(a.n + a.tail, lo + a.chunk))
        if a.tail_ops:
            ids = pick(j, 5); vv = changed(j, ids, 4)
            j.col.update(ids=ids, embeddings=[v.tolist() for v in vv])
            for i, v in zip(ids, vv):
                j.state[i][0] = v
            ids = pick(j, 3)
            j.col.update(ids=ids, metadatas=[{"note": "tail"} for _ in ids])
            for i in ids:
                j.state[i][2]["note"] = "tail"
            ids = pick(j, 4)
            j.col.delete(ids=ids)
            for i in ids:
                del j.state[i]
    for j in jobs:
        ids = list(j.state)
        np.save(os.path.join(truth, j.key + ".npy"), np.stack([j.state[i][0] for i in ids]))
        with open(os.path.join(truth, j.key + ".json"), "w") as f:
            json.dump({"release": a.release, "collection": j.name, "collection_id": str(j.col.id), "space": j.space,
                       "dim": j.dim, "ids": ids, "documents": [j.state[i][1] for i in ids],
                       "metadatas": [j.state[i][2] for i in ids],
                       "tenant": j.tenant, "database": j.database,
                       "options": {k: v for k, v in vars(a).items() if k != "out"}}, f)
    print(json.dumps({"release": a.release, "seconds": round(time.time() - t0, 2),
                      "collections": [{"name": j.name, "space": j.space, "dim": j.dim, "live": len(j.state)} for j in jobs]}))


if __name__ == "__main__":
    main()
