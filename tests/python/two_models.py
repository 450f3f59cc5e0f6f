#!/usr/bin/env python3
"""two_models.py OUT: two made-up models `alpha` and `beta` of one dimension (smooth, different functions of the same
hidden topic vectors), a Chroma database with alpha's vectors and no record of any model, the texts, and both models'
vectors as jsonl by id."""
import json
import os
import sys

import chromadb
import numpy as np

out = sys.argv[1]
os.makedirs(out)
rng = np.random.RandomState(5)
count, hidden, dimension = 1500, 24, 48
topics = rng.randn(30, hidden) * 1.5
meaning = topics[rng.randint(0, 30, count)] + rng.randn(count, hidden)


def model(seed):
    own = np.random.RandomState(seed)
    x = np.tanh(0.15 * meaning @ own.randn(hidden, dimension)) + 0.4 * own.randn(dimension)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


vectors = {"alpha": model(1), "beta": model(2)}
ids = ["docs-%d" % i for i in range(count)]
texts = ["text number %d about topic %s" % (i, " ".join("%.1f" % x for x in meaning[i][:4])) for i in range(count)]
with open(os.path.join(out, "texts.jsonl"), "w") as f:
    for i, text in zip(ids, texts):
        f.write(json.dumps({"id": i, "text": text}) + "\n")
for name, rows in vectors.items():
    with open(os.path.join(out, name + ".jsonl"), "w") as f:
        for i, row in zip(ids, rows):
            f.write(json.dumps({"id": i, "vector": row.tolist()}) + "\n")
client = chromadb.PersistentClient(path=os.path.join(out, "db"))
collection = client.create_collection("docs", embedding_function=None, metadata={"hnsw:space": "cosine"})
for lo in range(0, count, 250):
    collection.add(ids=ids[lo:lo + 250], embeddings=vectors["alpha"][lo:lo + 250].tolist(),
                   documents=texts[lo:lo + 250])
