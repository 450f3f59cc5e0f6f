#!/usr/bin/env python3
"""What a bridge finds: real queries, embedded by the target model and mapped to the source model's space, asked of a
collection that still holds the source model's vectors.

    bridge.py --fit target/release/examples/fit_pairs --data COLLECTION [--data COLLECTION ...] [--merge]

A COLLECTION folder is laid out as for retrieval.py. For each pair of spaces, number of pairs and map, means over --seeds
splits, training texts taken out of the corpus: nDCG@10, as a share of what the source model's own queries reach in the same
collection and of what the target model reaches among its own vectors; the share of the source model's own top 10 that is
found, and of the native top 10 of the target model; seconds to fit, with the held-out report. `own` is the source model
itself: what stays possible as long as it runs. Maps beside `bridge` are methods of `train` fitted the other way round.
A last line compares what the report of the bridge foretold with what queries found. Needs numpy.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

from retrieval import Collection, common, ndcg, top, unit


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--fit", required=True)
    p.add_argument("--data", action="append", required=True)
    p.add_argument("--merge", action="store_true")
    p.add_argument("--spaces", action="append", metavar="SOURCE,TARGET")
    p.add_argument("--pairs", type=int, nargs="+", default=[1000, 5000])
    p.add_argument("--seeds", type=int, default=2)
    p.add_argument("--methods", nargs="+", default=["ridge", "contrast", "procrustes", "bridge"])
    a = p.parse_args()
    spaces = a.spaces or ["m2v,minilm", "minil3,minilm", "ppmi,minilm", "minilm,ppmi", "minilm,m2v"]
    collections = [Collection(a.data)] if a.merge else [Collection([folder]) for folder in a.data]
    work, told = tempfile.mkdtemp(), []
    print("| collection | source to target | pairs | map | nDCG@10 | of own | of native | own top 10 | native top 10 | fit, s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for collection in collections:
        for source, target in (pair.split(",") for pair in spaces):
            for pairs in a.pairs:
                cells = {}
                for seed in range(a.seeds):
                    split(a, work, collection, source, target, pairs, seed, cells, told)
                for method, rows in cells.items():
                    figures = ("%.3f | %.3f | %.3f | %.3f | %.3f | %.2f" % tuple(np.mean(rows, axis=0))).replace("nan", "-")
                    print("| %s | %s to %s | %d | %s | %s |" % (collection.name, source, target, pairs, method, figures),
                          flush=True)
    if told:
        told, found = np.array(told).reshape(-1, 2, 2).transpose(1, 0, 2)
        print("foretold by %d reports: %.3f of the own top 10 (queries found %.3f), %.3f of the native one (%.3f)"
              % (len(told), told[:, 0].mean(), found[:, 0].mean(), told[:, 1].mean(), found[:, 1].mean()))


def split(a, work, collection, source, target, pairs, seed, cells, told):
    """Adds the figures of each map on one split to its cell."""
    at = lambda name: os.path.join(work, name + ".npy")
    x, y = collection.rows("texts", target), collection.rows("texts", source)
    ask, own = collection.rows("queries", target), unit(collection.rows("queries", source))
    order = np.random.RandomState(seed).permutation(len(x))
    training, rest = order[:pairs], np.sort(order[pairs:])
    for name, matrix in (("x", x[training]), ("y", y[training]), ("ask", ask)):
        np.save(at(name), matrix)
    index, native = unit(y[rest]), unit(x[rest])
    place = {collection.texts[i]: k for k, i in enumerate(rest)}
    gain = lambda found: ndcg(found, collection.queries, collection.relevant, place)
    by_own, by_native = top(own, index), top(unit(ask), native)
    reach = gain(by_own), gain(by_native)

    def add(name, found, seconds):
        value = gain(found)
        cells.setdefault(name, []).append((value, value / reach[0], value / reach[1], common(found, by_own),
                                           common(found, by_native), seconds))

    add("own", by_own, np.nan)
    for method in a.methods:
        run = subprocess.run([a.fit, method] + [at(n) for n in ("x", "y", "ask", "out")], check=True, stdout=subprocess.PIPE)
        said = json.loads(run.stdout)
        add(method, top(unit(np.load(at("out"))), index), said["seconds"])
        if method == "bridge":
            told.append([[said["report"][name]["value"] for name in ("own", "native")], cells[method][-1][3:5]])


if __name__ == "__main__":
    main()
