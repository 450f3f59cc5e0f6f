#!/usr/bin/env python3
"""Migrates one Chroma collection the way a script does: read with chromadb, multiply with numpy, delete the
collection, create it again, add in batches of 100. The rival of `embedport migrate-collection` in chroma.py.

    native_way.py DATABASE COLLECTION WEIGHTS.npy

WEIGHTS.npy: (source dimension + 1) x target dimension, float32; the last row is the bias. Rows of the result get
length 1. There is no backup, no check and no way back. Prints one line of JSON with the seconds of each step.
"""
import argparse
import json
import time

BATCH = 100
PAGE = 10_000


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("database")
    p.add_argument("collection")
    p.add_argument("weights")
    a = p.parse_args()
    laps, last = {}, time.perf_counter()

    def lap(name):
        nonlocal last
        now = time.perf_counter()
        laps[name], last = now - last, now

    import chromadb
    import numpy as np
    from chromadb.config import Settings
    lap("import")

    client = chromadb.PersistentClient(path=a.database, settings=Settings(anonymized_telemetry=False))
    collection = client.get_collection(a.collection, embedding_function=None)
    metadata = collection.metadata
    space = (collection.configuration_json.get("hnsw") or {}).get("space", "l2")
    # In pages: beyond some ten thousand records Chroma fails with "too many SQL variables".
    got = {"ids": [], "embeddings": [], "documents": [], "metadatas": []}
    for start in range(0, collection.count(), PAGE):
        page = collection.get(include=["embeddings", "documents", "metadatas"], limit=PAGE, offset=start)
        for key, values in got.items():
            values.extend(page[key])
    lap("read")

    weights = np.load(a.weights)
    vectors = np.asarray(got["embeddings"], dtype=np.float32) @ weights[:-1] + weights[-1]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    lap("multiply")

    client.delete_collection(a.collection)
    collection = client.create_collection(a.collection, metadata=metadata, embedding_function=None,
                                          configuration={"hnsw": {"space": space}})
    lap("delete and create")

    ids, documents, metadatas = got["ids"], got["documents"], got["metadatas"]
    for start in range(0, len(ids), BATCH):
        part = slice(start, start + BATCH)
        collection.add(ids=ids[part], embeddings=vectors[part], documents=documents[part], metadatas=metadatas[part])
    lap("add")
    assert collection.count() == len(ids)
    print(json.dumps({"records": len(ids), "seconds": {k: round(v, 3) for k, v in laps.items()}}))


if __name__ == "__main__":
    main()
