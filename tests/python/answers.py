#!/usr/bin/env python3
"""answers.py DB COLLECTION: what real Chroma says, as one JSON document: dimension, a digest of all ids with their
vectors bit for bit, documents and metadata, and the answers to ten fixed queries (vectors of stored records)."""
import hashlib
import json
import sys

import chromadb
import numpy as np

db, name = sys.argv[1:3]
collection = chromadb.PersistentClient(path=db).get_collection(name, embedding_function=None)
got = collection.get(include=["embeddings", "documents", "metadatas"])
order = sorted(range(len(got["ids"])), key=lambda i: got["ids"][i])
vectors = np.asarray(got["embeddings"], dtype=np.float32)
digest = hashlib.sha256()
for i in order:
    digest.update(got["ids"][i].encode())
    digest.update(vectors[i].tobytes())
    digest.update(json.dumps([got["documents"][i], got["metadatas"][i]], sort_keys=True).encode())
picked = [order[k * len(order) // 10] for k in range(10)]
answers = collection.query(query_embeddings=[vectors[i].tolist() for i in picked], n_results=5)
print(json.dumps({
    "count": collection.count(),
    "added": sum(1 for i in got["ids"] if i.startswith("added-")),
    "dimension": int(vectors.shape[1]),
    "digest": digest.hexdigest(),
    "answers": answers["ids"],
    "distances": answers["distances"],
}))
