"""Build time and recall@10 of `embedport::hnsw` beside hnswlib from PyPI: same data, same parameters, alternating.

Needs hnswlib and numpy. First `cargo bench --bench hnsw --no-run`, then
    python hnsw_vs_hnswlib.py BENCH_EXECUTABLE ROUNDS VECTORS.npy... --queries QUERIES.npy...
VECTORS are concatenated and, if fewer than 20,000, filled up with noisy copies. Prints one JSON line per setting:
medians over the rounds in seconds of wall clock and of processor time; of recall [mean, standard error], and
`difference`: ours minus hnswlib's, with its standard error. Equal seeds draw different levels in the two, and the
draw alone moves recall (standard deviation at ef 10 0.005 to 0.008 on two collections of text),
so rounds are independent samples, each setting has seeds of its own, and three rounds say little: take 8 or more.
"""

import argparse
import json
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import hnswlib
import numpy as np

ROWS, K, M, EFS = 20_000, 10, 16, (10, 50, 100)


def load(paths):
    return np.concatenate([np.load(path).astype(np.float32) for path in paths])


def fill(vectors, rows):
    """Rows beyond the given ones are noisy copies: cosine to the original about 0.9."""
    rng = np.random.default_rng(0)
    missing = max(0, rows - len(vectors))
    scale = 0.5 / np.sqrt(vectors.shape[1])
    copies = vectors[rng.choice(len(vectors), missing)]
    copies = copies + scale * rng.standard_normal(copies.shape, dtype=np.float32)
    copies /= np.linalg.norm(copies, axis=1, keepdims=True)
    return np.ascontiguousarray(np.concatenate([vectors, copies])[:rows], dtype=np.float32)


def exact(vectors, queries, space):
    dots = queries @ vectors.T
    score = dots if space == "ip" else 2 * dots - (vectors**2).sum(1)
    return np.argpartition(-score, K, axis=1)[:, :K]


def with_hnswlib(vectors, queries, truth, space, ef_construction, threads, seed):
    index = hnswlib.Index(space=space, dim=vectors.shape[1])
    index.init_index(len(vectors), M=M, ef_construction=ef_construction, random_seed=seed)
    used = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    index.add_items(vectors, num_threads=threads)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    recall, micros = {}, {}
    for ef in EFS:
        index.set_ef(ef)
        start = time.process_time()
        ids, _ = index.knn_query(queries, k=K, num_threads=1)
        micros[str(ef)] = (time.process_time() - start) / len(queries) * 1e6
        recall[str(ef)] = float(np.mean([len(set(a) & set(b)) / K for a, b in zip(ids, truth)]))
    cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    return {"wall": wall, "cpu": cpu, "recall": recall, "microseconds": micros}


def summary(runs):
    middle = lambda pick: round(statistics.median(map(pick, runs)), 4)
    return {
        "wall": middle(lambda run: run["wall"]),
        "cpu": middle(lambda run: run["cpu"]),
        "recall": {str(ef): [round(x, 4) for x in mean_and_error(runs, ef)] for ef in EFS},
        "microseconds": {str(ef): middle(lambda run: run["microseconds"][str(ef)]) for ef in EFS},
    }


def mean_and_error(runs, ef):
    recall = [run["recall"][str(ef)] for run in runs]
    return statistics.mean(recall), statistics.stdev(recall) / len(recall) ** 0.5


def difference(ours, theirs, ef):
    (a, a_error), (b, b_error) = mean_and_error(ours, ef), mean_and_error(theirs, ef)
    return [round(a - b, 4), round((a_error**2 + b_error**2) ** 0.5, 4)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench")
    parser.add_argument("rounds", type=int)
    parser.add_argument("vectors", nargs="+")
    parser.add_argument("--queries", nargs="+", required=True)
    parser.add_argument("--settings", default="l2/100/1,l2/100/2,ip/100/1,l2/200/1,l2/200/2")
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error("at least two rounds, or there is no standard error")
    vectors, queries = fill(load(options.vectors), ROWS), load(options.queries)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / "vectors.npy", Path(folder) / "queries.npy"]
        np.save(files[0], vectors)
        np.save(files[1], queries)
        for number, setting in enumerate(options.settings.split(",")):
            space, ef_construction, threads = setting.split("/")
            truth = exact(vectors, queries, space)
            ours, theirs = [], []
            for seed in range(1000 * number + 1, 1000 * number + options.rounds + 1):
                command = [options.bench, *files, space, str(M), ef_construction, threads, str(seed)]
                ours.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
                arguments = int(ef_construction), int(threads), seed
                theirs.append(with_hnswlib(vectors, queries, truth, space, *arguments))
            line = {"setting": setting, "n": len(vectors), "queries": len(queries)}
            line |= {"rounds": options.rounds, "embedport": summary(ours), "hnswlib": summary(theirs)}
            line["difference"] = {str(ef): difference(ours, theirs, ef) for ef in EFS}
            line["cpu_ratio"] = round(line["embedport"]["cpu"] / line["hnswlib"]["cpu"], 3)
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
