#!/usr/bin/env python3
"""What each method keeps of retrieval: real queries, embedded by the target model, asked of projected texts.

    retrieval.py --fit target/release/examples/fit_pairs --data COLLECTION [--data COLLECTION ...] [--merge]
                 [--words SPACE=MODEL] [--rivals NAME ...] [--results FILE]

A COLLECTION folder has texts.jsonl and queries.jsonl ({"id", "text"} a line), qrels.tsv (query id, text id, grade),
texts.SPACE.npy and queries.SPACE.npy; --merge makes one collection of all. For each pair of spaces, number of pairs and
method, means over --seeds splits, training texts taken out of the corpus: nDCG@10 as a share of what the true vectors of
the target model reach; the share of the exact native top 10 that is found (R10); overlap@10 of 1,000 texts among
themselves; mean cosine; seconds to fit; vectors a second to apply. For --foretell also: the share of the native top 10 that
other records of the collection find (1,000 of them, asked with true vectors), what the pairs alone foretold of it with the
ends of the 90 % interval, and the seconds that took. After the table: for each collection and number of pairs the mean R10
of each method, in how many cells `auto` finds less and by how much at most, and how often the intervals held and how far the
foretold shares were off.

--words: the model behind SPACE, a folder; where it is the target, each method of --with-texts is also fitted with what the
words of the texts say ("+ texts"). --rivals: other programs' fits to the same pairs, see rivals.py. --results: a file of one
line a measurement; what it holds is not measured again, and the tables are of all that it holds of these collections.
Needs numpy.
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


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--fit", required=True)
    p.add_argument("--data", action="append", required=True)
    p.add_argument("--merge", action="store_true")
    p.add_argument("--spaces", action="append", metavar="SOURCE,TARGET")
    p.add_argument("--pairs", type=int, nargs="+", default=[250, 1000, 2000, 5000])
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--methods", nargs="*",
                   default=["ridge", "contrast", "procrustes", "pulled", "low-rank", "kernel", "auto"])
    p.add_argument("--words", action="append", default=[], metavar="SPACE=MODEL")
    p.add_argument("--with-texts", nargs="*", default=["ridge", "contrast", "auto"], metavar="METHOD")
    p.add_argument("--foretell", nargs="*", default=["auto"], metavar="METHOD",
                   help="methods of which is foretold what they keep")
    p.add_argument("--rivals", nargs="*", default=[], metavar="NAME")
    p.add_argument("--results", help="file of measurements, added to")
    return p.parse_args()


def main():
    a = arguments()
    models = dict(given.split("=", 1) for given in a.words)
    spaces = a.spaces or ["m2v,minilm", "minil3,minilm", "ppmi,minilm", "minilm,ppmi", "minilm,m2v"]
    collections = [Collection(a.data)] if a.merge else [Collection([folder]) for folder in a.data]
    measured = Measured(a.results)
    with tempfile.TemporaryDirectory() as work:
        measure(a, models, spaces, collections, work, measured)
    measured.show([c.name for c in collections])


def measure(a, models, spaces, collections, work, measured):
    """Whatever is not measured yet."""
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
                if len(strings) - pairs < 1000:  # too few would be left to ask for
                    continue
                methods = a.methods + (["%s + texts" % m for m in a.with_texts] if target in models else []) + a.rivals
                for seed in range(a.seeds):
                    cell = (collection.name, source, target, pairs)
                    missing = [m for m in methods if not measured.has(cell, seed, m)]
                    if missing:
                        split(a, work, collection, strings, cell, seed, missing, measured)


class Measured:
    """Measurements by cell, method and seed, in a file if there is one."""

    FIGURES = ["ndcg", "r10", "overlap", "cosine", "fit", "apply", "records", "value", "low", "high", "foretelling"]

    def __init__(self, file):
        self.file, self.rows = file, {}
        for line in open(file, encoding="utf-8") if file and os.path.exists(file) else []:
            self.add(**json.loads(line))

    def add(self, collection, source, target, pairs, seed, method, **figures):
        self.rows.setdefault((collection, source, target, pairs), {}).setdefault(method, {})[seed] = figures

    def has(self, cell, seed, method):
        return seed in self.rows.get(cell, {}).get(method, {})

    def keep(self, cell, seed, method, figures):
        row = dict(zip(("collection", "source", "target", "pairs"), cell), seed=seed, method=method)
        row.update((name, round(float(value), 5)) for name, value in figures.items() if value is not None)
        self.add(**row)
        if self.file:
            with open(self.file, "a", encoding="utf-8") as f:
                f.write(json.dumps(row) + "\n")

    def means(self, cell, method):
        rows = self.rows[cell][method].values()
        return [np.mean([row.get(name, np.nan) for row in rows]) for name in self.FIGURES]

    def show(self, collections):
        print("| collection | source to target | pairs | method | splits | nDCG@10 | R10 | overlap@10 | cosine | fit, s "
              "| apply, 1/s | found by records | foretold | low | high | s |")
        print("|---" * 16 + "|")
        cells = [cell for cell in self.rows if cell[0] in collections]
        for cell in cells:
            for method, rows in self.rows[cell].items():
                figures = ("%.3f | %.3f | %.3f | %.3f | %.2f | %.0f | %.3f | %.3f | %.3f | %.3f | %.2f"
                           % tuple(self.means(cell, method))).replace("nan", "-")
                print("| %s | %s to %s | %d | %s | %d | %s |" % (*cell, method, len(rows), figures))
        for name in collections:
            self.show_means(name, [cell for cell in cells if cell[0] == name])
        self.show_foretold([row for cell in cells for rows in self.rows[cell].values() for row in rows.values()])

    def show_means(self, name, cells):
        """Mean R10 by number of pairs; how `auto` compares cell by cell."""
        if not cells:
            return
        at = sorted({cell[3] for cell in cells})
        methods = list(dict.fromkeys(method for cell in cells for method in self.rows[cell]))
        print("\n| %s: mean R10 of all pairs of spaces | %s | cells in which auto finds less | by at most, points |"
              % (name, " | ".join("%d" % pairs for pairs in at)))
        print("|---" * (len(at) + 3) + "|")
        for method in methods:
            having = [cell for cell in cells if method in self.rows[cell]]
            r10 = {cell: self.means(cell, method)[1] for cell in having}
            less = [100 * (r10[cell] - self.means(cell, "auto")[1]) for cell in having if "auto" in self.rows[cell]]
            means = ["%.3f" % np.mean([v for c, v in r10.items() if c[3] == pairs])
                     if all(c in r10 for c in cells if c[3] == pairs) else "-" for pairs in at]
            below = "%d of %d | %.2f" % (sum(d > 0 for d in less), len(less), max(max(less), 0)) if less else "- | -"
            print("| %s | %s | %s |" % (method, " | ".join(means), below))

    def show_foretold(self, rows):
        told = [[row[name] for name in ("records", "value", "low", "high")] for row in rows if "value" in row]
        if told:
            found, value, low, high = np.array(told).T
            print("\n%d splits: the 90 %% interval held in %.1f %%; mean absolute error %.2f points, largest %.1f, bias "
                  "%+.2f; half the interval %.1f points"
                  % (len(told), 100 * np.mean((low <= found) & (found <= high)), 100 * np.abs(value - found).mean(),
                     100 * np.abs(value - found).max(), 100 * (value - found).mean(), 50 * (high - low).mean()))


def split(a, work, collection, strings, cell, seed, methods, measured):
    """Measures methods on one split."""
    _, source, target, pairs = cell
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
    for method in methods:
        said = {}
        if method in a.rivals:
            import rivals  # needs torch and the rivals themselves
            made, fit, took = rivals.run(method, x[training], y[training], x[rest], seed)
        else:
            name, _, texts = method.partition(" + ")
            files = [at(n) for n in ("x", "y", "all", "out")] + (lists if texts else [])
            run = [a.fit, name] + files + (["--foretell"] if name in a.foretell else [])
            said = json.loads(subprocess.run(run, check=True, stdout=subprocess.PIPE).stdout)
            made, fit, took = np.load(at("out")), said["seconds"], said["apply_seconds"]
        made = unit(made)
        ours = top(q, made)
        figures = {"ndcg": ndcg(ours, collection.queries, collection.relevant, place) / reach, "r10": common(ours, found),
                   "overlap": common(top(made[some], made[some], np.arange(len(some))), near),
                   "cosine": (made * native).sum(1).mean(), "fit": fit, "apply": len(rest) / took}
        if said.get("expected"):
            told = {name: said["expected"][name] for name in ("value", "low", "high")}
            figures.update(told, foretelling=said["expected_seconds"],
                           records=common(top(native[some], made, some), by_records))
        measured.keep(cell, seed, method, figures)


if __name__ == "__main__":
    main()
