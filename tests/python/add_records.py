#!/usr/bin/env python3
"""add_records.py DB COLLECTION N: adds N records near stored ones, as a program in ordinary use would."""
import sys

import chromadb
import numpy as np

db, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
collection = chromadb.PersistentClient(path=db).get_collection(name, embedding_function=None)
near = np.asarray(collection.get(limit=count, include=["embeddings"])["embeddings"], dtype=np.float32)
noise = np.random.RandomState(3).randn(*near.shape).astype(np.float32) * 0.01
collection.add(
    ids=["added-%d" % i for i in range(count)],
    embeddings=(near + noise).tolist(),
    documents=["a record added after the migration, number %d" % i for i in range(count)],
)
