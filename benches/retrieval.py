#!/usr/bin/env python3
"""What each method keeps of retrieval: real queries, embedded by the target model, asked of projected texts.

    retrieval.py --fit target/release/examples/fit_pairs --data COLLECTION [--data COLLECTION ...] [--merge]
                 [--words SPACE=MODEL]

A COLLECTION folder has texts.jsonl and queries.jsonl ({"id", "text"} a line), qrels.tsv (query id, text id, grade),
texts.SPACE.npy and queries.SPACE.npy; --merge makes one collection of all. For each pair of spaces, number of pairs and
method, means over --seeds splits, training texts taken out of the corpus: nDCG@10 as a share of what the true vectors of
the target model reach; the share of the exact native top 10 that is found (R10); overlap@10 of 1,000 texts among
themselves; mean cosine; seconds to fit; vectors a second to apply; the share of the native top 10 that other records of
the collection find (1,000 of them, asked with true vectors), what the pairs alone foretold of it with the ends of the 90 %
interval (for --foretell), and the seconds that took. A last line says how often the intervals held and how far the foretold shares were
off, over all cells and splits. --words: the model behind SPACE, a folder; where it is the target, each method of
--with-texts is also fitted with what the words of the texts say ("+ texts"). Needs numpy.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np


class Collection:
    """Texts, queries and judgements of one folder or several."""

    def __init__(self, folders):
        self.name = " + ".join(os.path.basename(f.rstrip("/")) for f in folders)
        self.folders, self.relevant = folders, {}
        self.texts, self.queries = self.ids("texts"), self.ids("queries")
        for number, folder in enumerate(folders):
            for line in open(folder + "/qrels.tsv", encoding="utf-8"):
                query, text, grade = line.rstrip("\n").split("\t")
                self.relevant.setdefault((number, query), {})[number, text] = float(grade)

    def strings(self):
        return [json.loads(line)["text"] for folder in self.folders
                for line in open(folder + "/texts.jsonl", encoding="utf-8")]

    def ids(self, what):
        return [(number, json.loads(line)["id"]) for number, folder in enumerate(self.folders)
                for line in open("%s/%s.jsonl" % (folder, what), encoding="utf-8")]

    def rows(self, what, space):
        return np.concatenate([np.load("%s/%s.%s.npy" % (f, what, space)).astype(np.float32) for f in self.folders])


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def top(queries, corpus, own=None):
    """The ten nearest rows of the corpus, nearest first, without the query's own."""
    similar = queries @ corpus.T
    if own is not None:
        similar[np.arange(len(queries)), own] = -2
    some = np.argpartition(-similar, 10, axis=1)[:, :10]
    return np.take_along_axis(some, np.argsort(-np.take_along_axis(similar, some, 1), 1), 1)


def common(a, b):
    return float(np.mean([len(set(x) & set(y)) / 10 for x, y in zip(a, b)]))


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
    p.add_argument("--merge", action="store_true")
    p.add_argument("--spaces", action="append", metavar="SOURCE,TARGET")
    p.add_argument("--pairs", type=int, nargs="+", default=[250, 1000, 2000, 5000])
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--methods", nargs="+",
                   default=["ridge", "contrast", "procrustes", "pulled", "low-rank", "kernel", "auto"])
    p.add_argument("--words", action="append", default=[], metavar="SPACE=MODEL")
    p.add_argument("--with-texts", nargs="*", default=["ridge", "contrast", "auto"], metavar="METHOD")
    p.add_argument("--foretell", nargs="*", default=["auto"], metavar="METHOD",
                   help="methods of which is foretold what they keep")
    a = p.parse_args()
    models = dict(given.split("=", 1) for given in a.words)
    spaces = a.spaces or ["m2v,minilm", "minil3,minilm", "ppmi,minilm", "minilm,ppmi", "minilm,m2v"]
    collections = [Collection(a.data)] if a.merge else [Collection([folder]) for folder in a.data]
    work = tempfile.mkdtemp()
    print("| collection | source to target | pairs | method | nDCG@10 | R10 | overlap@10 | cosine | fit, s | apply, 1/s "
          "| found by records | foretold | low | high | s |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")
    told = []
    for collection in collections:
        strings = collection.strings()
        json.dump(strings, open(os.path.join(work, "texts.json"), "w"))
        for space, model in models.items():
            run = [a.fit, "words", "%s,path=%s" % (os.path.basename(model.rstrip("/")), model),
                   os.path.join(work, "texts.json"), os.path.join(work, "words." + space)]
            said = json.loads(subprocess.run(run, check=True, stdout=subprocess.PIPE).stdout)
            print("%s: %d words embedded with %s in %.0f s" % (collection.name, said["words"], space, said["seconds"]),
                  file=sys.stderr)
        for source, target in (pair.split(",") for pair in spaces):
            for pairs in a.pairs:
                cells = {(m, False): [] for m in a.methods}
                if target in models:
                    cells.update({(m, True): [] for m in a.with_texts})
                for seed in range(a.seeds):
                    split(a, work, collection, strings, source, target, pairs, seed, cells)
                for (method, texts), rows in cells.items():
                    method += " + texts" if texts else ""
                    figures = ("%.3f | %.3f | %.3f | %.3f | %.2f | %.0f | %.3f | %.3f | %.3f | %.3f | %.2f"
                               % tuple(np.mean(rows, axis=0))).replace("nan", "-")
                    told += [row[6:10] for row in rows if not np.isnan(row[7])]
                    print("| %s | %s to %s | %d | %s | %s |" % (collection.name, source, target, pairs, method, figures),
                          flush=True)
    if not told:
        return
    found, value, low, high = np.array(told).T
    print("%d splits: the 90 %% interval held in %.1f %%; mean absolute error %.2f points, largest %.1f, bias %+.2f; half "
          "the interval %.1f points" % (len(told), 100 * np.mean((low <= found) & (found <= high)),
                                       100 * np.abs(value - found).mean(), 100 * np.abs(value - found).max(),
                                       100 * (value - found).mean(), 50 * (high - low).mean()))


def split(a, work, collection, strings, source, target, pairs, seed, cells):
    """Adds the figures of each method on one split to its cell."""
    at = lambda name: os.path.join(work, name + ".npy")
    x, y, q = collection.rows("texts", source), collection.rows("texts", target), unit(collection.rows("queries", target))
    order = np.random.RandomState(seed).permutation(len(x))
    training, rest = order[:pairs], np.sort(order[pairs:])
    for name, matrix in (("x", x[training]), ("y", y[training]), ("all", x[rest])):
        np.save(at(name), matrix)
    native, some = unit(y[rest]), np.random.RandomState(seed).permutation(len(rest))[:1000]
    found, near = top(q, native), top(native[some], native[some], np.arange(len(some)))
    by_records = top(native[some], native, some)
    place = {collection.texts[i]: k for k, i in enumerate(rest)}
    reach = ndcg(found, collection.queries, collection.relevant, place)
    lists = [os.path.join(work, "words." + target)]
    for name, rows in (("training", training), ("rest", rest)):
        lists.append(os.path.join(work, name + ".json"))
        json.dump([strings[i] for i in rows], open(lists[-1], "w"))
    for method, texts in cells:
        run = subprocess.run([a.fit, method] + [at(n) for n in ("x", "y", "all", "out")] + (lists if texts else [])
                             + (["--foretell"] if method in a.foretell else []), check=True, stdout=subprocess.PIPE)
        said = json.loads(run.stdout)
        made = unit(np.load(at("out")))
        ours = top(q, made)
        cells[method, texts].append((ndcg(ours, collection.queries, collection.relevant, place) / reach, common(ours, found),
                              common(top(made[some], made[some], np.arange(len(some))), near),
                              (made * native).sum(1).mean(), said["seconds"], len(rest) / said["apply_seconds"],
                              common(top(native[some], made, some), by_records)) + foretold(said))


def foretold(said):
    told = said["expected"] or dict.fromkeys(("value", "low", "high"), np.nan)
    return told["value"], told["low"], told["high"], said["expected_seconds"] or np.nan


if __name__ == "__main__":
    main()
