"""LangChain's SQLiteVec, LlamaIndex and Qdrant's local mode: how make_sqlite.py fills them and check_sqlite.py asks them.

LlamaIndex has no store of its own for SQLite. Its only published package that can keep vectors there is
llama-index-vector-stores-sqlalchemy with a JSON column and a similarity function of the user's, as here;
`--on qdrant` is its Qdrant store over the local mode.
"""
import json, os, warnings
import numpy as np
import sqlite_common as common

warnings.simplefilter("ignore")


def meta(i):
    return {"n": i, "tag": common.WORDS[i % 26], "score": i / 7, "even": i % 2 == 0, "who": "\u00e9\u65e5'\""}


def same(what, found, wanted, errors):
    if found != wanted:
        errors.append("%s: %s, expected %s" % (what, str(found)[:200], str(wanted)[:200]))


def refused(act, words, errors):
    try:
        act()
    except Exception as e:
        if words not in str(e):
            errors.append("a vector of another dimension was refused with: %s" % str(e)[:200])
        return
    errors.append("a vector of another dimension was not refused")


def kept(a, n):
    return [i for i in range(n) if a.no_holes or not (i % 13 == 12 or 60 <= i < 75)]


# LangChain

def langchain(path, table, known, dim):
    """The store, with an embedding model that knows the vectors of some texts."""
    from langchain_core.embeddings import Embeddings
    from langchain_community.vectorstores.sqlitevec import SQLiteVec

    class Known(Embeddings):
        def embed_documents(self, texts):
            return [self.embed_query(t) for t in texts]

        def embed_query(self, text):
            v = known.get(text)
            return [0.125] * dim if v is None else [float(x) for x in v]

    return SQLiteVec(table=table, connection=SQLiteVec.create_connection(path), embedding=Known())


def make_langchain(a, path, v):
    texts = ["%s #%d" % (common.body(i, null=False), i) for i in range(len(v))]
    s = langchain(path, a.table, dict(zip(texts, v)), a.dim)
    for lo in range(0, len(v), 150):
        s.add_texts(texts[lo:lo + 150], [meta(i) for i in range(lo, min(lo + 150, len(v)))])
    keep = kept(a, len(v))
    for i in set(range(len(v))) - set(keep):      # the class has no way to delete: its users write this
        s._connection.execute("delete from %s where rowid = ?" % a.table, (i + 1,))
        s._connection.execute("delete from %s_vec where rowid = ?" % a.table, (i + 1,))
    s._connection.commit()
    s._connection.close()
    return path, {"main": ({"table": a.table, "column": "text_embedding", "encoding": "f32", "key": ["rowid"], "text": "text", "metric": "l2",
                            "also": [[a.table + "_vec", "text_embedding"]], "ids": [[i + 1] for i in keep], "texts": [texts[i] for i in keep],
                            "others": {"metadata": [json.dumps(meta(i)) for i in keep]}, "rest": []}, v[keep])}


def check_langchain(path, t, v, errors):
    s = langchain(path, t["table"], {}, v.shape[1])
    got = s._connection.execute("select rowid, text_embedding from %s_vec order by rowid" % t["table"]).fetchall()
    same("rows of the vec0 table", [r[0] for r in got], sorted(i[0] for i in t["ids"]), errors)
    order = np.argsort([i[0] for i in t["ids"]])
    w = np.stack([np.frombuffer(r[1], "<f4") for r in got])
    if w.shape != v.shape or not np.allclose(w, v[order], atol=common.tolerance("f32", v)):
        errors.append("the vectors of %s_vec are not those of %s" % (t["table"], t["table"]))
    for k in range(0, len(v), max(1, len(v) // 10)):
        found = s.similarity_search_with_score_by_vector([float(x) for x in v[k]], k=5)
        wanted = np.sort(common.distances("l2", v[k], v))[:5]
        if not np.allclose([d for _, d in found], wanted, atol=2e-3) or t["texts"][k] not in [d.page_content for d, _ in found]:
            errors.append("search for record %d: distances %s, expected %s" % (k, [d for _, d in found], wanted))
    s._connection.close()


def extend_langchain(path, t, v, errors):
    new = np.random.RandomState(1).randn(2, v.shape[1])
    s = langchain(path, t["table"], {"brand new": new[0], "newer": new[1]}, v.shape[1])
    ids = s.add_texts(["brand new", "newer"], [{"fresh": True}, {}])
    same("ids of added records", len(ids), 2, errors)
    found = s.similarity_search("brand new", k=1)
    same("the added record", (found[0].page_content, found[0].metadata), ("brand new", {"fresh": True}), errors)
    s._connection.close()
    other = langchain(path, t["table"], {}, v.shape[1] + 1)
    refused(lambda: other.add_texts(["one number more"]), "Dimension mismatch", errors)
    refused(lambda: other.similarity_search("one number more"), "Dimension mismatch", errors)
    other._connection.close()


# LlamaIndex

def llama(path, table, dim):
    import sqlite_vec
    from llama_index.vector_stores.sqlalchemy import SimilarityFunction, SQLAlchemyVectorStore
    from sqlalchemy import JSON, Column, String, Text, event, text

    class Cosine(SimilarityFunction):
        def __call__(self, column, query):
            return text("1 - vec_distance_cosine(%s, '%s')" % (column, json.dumps(query)))

    columns = {n: Column(n, kind, primary_key=n == "id") for n, kind in (("id", String), ("text", Text), ("embedding", JSON), ("metadata", JSON))}
    s = SQLAlchemyVectorStore("sqlite:///" + path, "sqlite+aiosqlite:///" + path, table, schema_name="main", table_schema=columns,
                              embed_dim=dim, similarity_functions={"sqlite": {"cosine": Cosine("")}})
    s._initialize()

    def load(connection, _):
        connection.enable_load_extension(True)
        sqlite_vec.load(connection)

    event.listen(s.client, "connect", load)
    s.client.dispose()
    return s


def node(i, text, v):
    from llama_index.core.schema import TextNode
    return TextNode(id_=i, text=text, metadata=meta(len(text)), embedding=[float(x) for x in v])


def make_llamaindex(a, path, v):
    texts = ["%s #%d" % (common.body(i, null=False), i) for i in range(len(v))]
    if a.on == "qdrant":
        return make_qdrant(a, path, v, texts)
    s = llama(path, a.table, a.dim)
    s.add([node(common.text_id(i), texts[i], v[i]) for i in range(len(v))])
    s.client.dispose()
    c = common.connect(path)
    keep = kept(a, len(v))
    c.executemany("delete from %s where id = ?" % common.quote(a.table), [(common.text_id(i),) for i in set(range(len(v))) - set(keep)])
    c.commit()
    rows = dict(c.execute("select id, metadata from " + common.quote(a.table)))
    c.close()
    ids = [common.text_id(i) for i in keep]
    return path, {"main": ({"table": a.table, "column": "embedding", "encoding": "json", "key": ["id"], "text": "text", "metric": "cosine",
                            "ids": [[i] for i in ids], "texts": [texts[i] for i in keep],
                            "others": {"metadata": [rows[i] for i in ids]}, "rest": []}, v[keep])}


def ask(s, t, v, errors):
    from llama_index.core.vector_stores.types import VectorStoreQuery
    for k in range(0, len(v), max(1, len(v) // 10)):
        q = s.query(VectorStoreQuery(query_embedding=[float(x) for x in v[k]], similarity_top_k=5))
        wanted = np.sort(common.distances("cosine", v[k], v))[:5]
        if not np.allclose(1 - np.array(q.similarities), wanted, atol=2e-3) or q.nodes[0].text != t["texts"][k]:
            errors.append("search for record %d: %s, expected distances %s" % (k, q.similarities, wanted))


def check_llamaindex(path, t, v, errors):
    if os.path.isdir(path):
        check_qdrant(path, t, v, errors)
        from llama_index.vector_stores.qdrant import QdrantVectorStore
        from qdrant_client import QdrantClient
        c = QdrantClient(path=path)
        ask(QdrantVectorStore(t["table"], client=c), t, v, errors)
        return c.close()
    s = llama(path, t["table"], v.shape[1])
    ask(s, t, v, errors)
    s.client.dispose()


def extend_llamaindex(path, t, v, errors):
    from llama_index.core.vector_stores.types import VectorStoreQuery
    if os.path.isdir(path):
        return extend_qdrant(path, t, v, errors)
    s = llama(path, t["table"], v.shape[1])
    new = np.random.RandomState(1).randn(v.shape[1])
    s.add([node("brand-new", "brand new", new)])
    q = s.query(VectorStoreQuery(query_embedding=new.tolist(), similarity_top_k=1))
    same("the added record", (q.ids, q.nodes[0].text), (["brand-new"], "brand new"), errors)
    # This store takes any dimension; the next search is what fails.
    s.add([node("other", "one number more", np.ones(v.shape[1] + 1))])
    refused(lambda: s.query(VectorStoreQuery(query_embedding=new.tolist(), similarity_top_k=1)), "dimensions", errors)
    s.client.dispose()


# Qdrant's local mode: records are pickles

def point_id(i):
    return i if i % 2 else "00000000-0000-4000-8000-%012d" % i


def make_qdrant(a, path, v, texts=None):
    from qdrant_client import QdrantClient, models
    folder = os.path.join(a.out, "store")
    c = QdrantClient(path=folder)
    ids = [point_id(i) if texts is None else point_id(2 * i) for i in range(len(v))]
    if texts is None:
        texts = [common.body(i, null=False) for i in range(len(v))]
        distance = {"l2": models.Distance.EUCLID, "cosine": models.Distance.COSINE, "l1": models.Distance.MANHATTAN}[a.metric]
        c.create_collection(a.table, models.VectorParams(size=a.dim, distance=distance))
        c.upsert(a.table, [models.PointStruct(id=ids[i], vector=[float(x) for x in v[i]], payload=dict(meta(i), text=texts[i])) for i in range(len(v))])
    else:
        from llama_index.vector_stores.qdrant import QdrantVectorStore
        QdrantVectorStore(a.table, client=c).add([node(ids[i], texts[i], v[i]) for i in range(len(v))])
    keep = kept(a, len(v))
    c.delete(a.table, models.PointIdsList(points=[ids[i] for i in range(len(v)) if i not in set(keep)]))
    c.close()
    return path, {"main": ({"table": a.table, "column": "", "encoding": "f32", "key": ["id"], "text": "text", "ids": [[ids[i]] for i in keep],
                            "texts": [texts[i] for i in keep], "others": {}, "rest": [], "metric": a.metric if a.kind == "qdrant" else "cosine"}, v[keep])}


def check_qdrant(path, t, v, errors):
    from qdrant_client import QdrantClient
    c = QdrantClient(path=path)
    same("records", c.count(t["table"]).count, len(v), errors)
    got = {p.id: p for p in c.retrieve(t["table"], [i[0] for i in t["ids"]], with_vectors=True)}
    for k, ((i,), text) in enumerate(zip(t["ids"], t["texts"])):
        w = np.array(got[i].vector) if i in got else np.zeros(0)
        if w.shape != v[k].shape or not np.allclose(w / np.linalg.norm(w), v[k] / np.linalg.norm(v[k]), atol=1e-5):
            errors.append("record %d has another vector" % k)
        elif text not in (got[i].payload.get("text"), json.loads(got[i].payload.get("_node_content", "{}")).get("text")):
            errors.append("record %d has another text" % k)
    for k in range(0, len(v), max(1, len(v) // 10)):
        found = c.query_points(t["table"], query=[float(x) for x in v[k]], limit=5).points
        same("nearest to record %d" % k, found[0].id, t["ids"][k][0], errors)
    c.close()


def extend_qdrant(path, t, v, errors):
    from qdrant_client import QdrantClient, models
    c = QdrantClient(path=path)
    new = np.random.RandomState(1).randn(v.shape[1]).tolist()
    c.upsert(t["table"], [models.PointStruct(id=99999, vector=new, payload={"text": "brand new"})])
    same("the added record", c.query_points(t["table"], query=new, limit=1).points[0].id, 99999, errors)
    refused(lambda: c.upsert(t["table"], [models.PointStruct(id=99998, vector=new + [1.0])]), "dimension", errors)
    c.close()


MAKERS = {"langchain": make_langchain, "llamaindex": make_llamaindex, "qdrant": make_qdrant}
CHECKS = {"langchain": (check_langchain, extend_langchain), "llamaindex": (check_llamaindex, extend_llamaindex), "qdrant": (check_qdrant, extend_qdrant)}
