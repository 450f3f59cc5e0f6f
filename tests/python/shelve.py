#!/usr/bin/env python3
"""shelve.py OUT MANIFEST: a Chroma database OUT with the collections of a JSON list: `name`, `ids`, `texts`, and `vectors`,
a .npy of one row for each id. Nothing in it says which model made the vectors."""
import json
import sys

import chromadb
import numpy as np

client = chromadb.PersistentClient(path=sys.argv[1])
for entry in json.load(open(sys.argv[2])):
    collection = client.create_collection(entry["name"], embedding_function=None, metadata={"hnsw:space": "cosine"})
    rows = np.load(entry["vectors"])
    for lo in range(0, len(rows), 100):
        hi = lo + 100
        collection.add(ids=entry["ids"][lo:hi], embeddings=rows[lo:hi].tolist(), documents=entry["texts"][lo:hi])
