#!/usr/bin/env python3
"""What each method keeps of retrieval: real queries, embedded by the target model, asked of projected texts.

    retrieval.py --fit target/release/examples/fit_pairs --data COLLECTION [--data COLLECTION ...]

A COLLECTION folder has texts.jsonl and queries.jsonl ({"id", "text"} a line), qrels.tsv (query id, text id, grade),
texts.SPACE.npy and queries.SPACE.npy. For each pair of spaces and number of pairs, means over --seeds splits, training texts taken
out of the corpus: nDCG@10 as a share of what the true vectors of the target model reach; the share of the exact native
top 10 that is found (R10); mean cosine. Needs numpy.
"""
import argparse
import json
import os
import subprocess
import tempfile

import numpy as np


def load(path):
    return np.load(path).astype(np.float32)


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def ids(path):
    return [json.loads(line)["id"] for line in open(path, encoding="utf-8")]


def ndcg(top, queries, relevant, place):
    out = []
    for row, query in enumerate(queries):
        grades = {place[t]: g for t, g in relevant.get(query, {}).items() if t in place}
        if grades:
            gain = sum(grades.get(t, 0) / np.log2(k + 2) for k, t in enumerate(top[row]))
            best = sorted(grades.values(), reverse=True)[:10]
            out.append(gain / sum(g / np.log2(k + 2) for k, g in enumerate(best)))
    return float(np.mean(out))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--fit", required=True)
    p.add_argument("--data", action="append", required=True)
    p.add_argument("--spaces", action="append", metavar="SOURCE,TARGET")
    p.add_argument("--pairs", type=int, nargs="+", default=[800, 2000, 4000])
    p.add_argument("--seeds", type=int, default=2)
    p.add_argument("--methods", nargs="+", default=["ridge", "contrast"])
    a = p.parse_args()
    spaces = a.spaces or ["m2v,minilm", "minil3,minilm", "ppmi,minilm", "minilm,ppmi"]
    work = tempfile.mkdtemp()
    at = lambda name: os.path.join(work, name)
    print("| collection | source to target | pairs |" + "".join(" %s nDCG, R10, cosine |" % m for m in a.methods))
    print("|---|---|---|" + "---|" * len(a.methods))
    for folder in a.data:
        texts, queries = ids(folder + "/texts.jsonl"), ids(folder + "/queries.jsonl")
        relevant = {}
        for line in open(folder + "/qrels.tsv", encoding="utf-8"):
            query, text, grade = line.rstrip("\n").split("\t")
            relevant.setdefault(query, {})[text] = float(grade)
        for source, target in (pair.split(",") for pair in spaces):
            x, y = load("%s/texts.%s.npy" % (folder, source)), load("%s/texts.%s.npy" % (folder, target))
            q = unit(load("%s/queries.%s.npy" % (folder, target)))
            for pairs in a.pairs:
                rows = {m: [] for m in a.methods}
                for seed in range(a.seeds):
                    order = np.random.RandomState(seed).permutation(len(x))
                    training, rest = order[:pairs], np.sort(order[pairs:])
                    for name, matrix in (("x", x[training]), ("y", y[training]), ("all", x[rest])):
                        np.save(at(name + ".npy"), matrix)
                    native = unit(y[rest])
                    top = np.argsort(-(q @ native.T), 1)[:, :10]
                    place = {texts[i]: k for k, i in enumerate(rest)}
                    reach = ndcg(top, queries, relevant, place)
                    for method in a.methods:
                        subprocess.run([a.fit, method] + [at(n + ".npy") for n in ("x", "y", "all", "out")],
                                       check=True, stdout=subprocess.DEVNULL)
                        made = unit(np.load(at("out.npy")))
                        found = np.argsort(-(q @ made.T), 1)[:, :10]
                        rows[method].append((ndcg(found, queries, relevant, place) / reach,
                                             np.mean([len(set(f) & set(t)) / 10 for f, t in zip(found, top)]),
                                             (made * native).sum(1).mean()))
                means = ["%.3f, %.3f, %.3f" % tuple(np.mean(rows[m], axis=0)) for m in a.methods]
                print("| %s | %s to %s | %d | %s |" % (os.path.basename(folder.rstrip("/")), source, target, pairs,
                                                      " | ".join(means)), flush=True)


if __name__ == "__main__":
    main()
