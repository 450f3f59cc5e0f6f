"""Compares embedport's fits with the usual torch recipe on the same pairs, in the same run.

The recipe: torch.nn.Linear, Xavier, Adam 1e-3, batches of 32, 100 epochs, 0.7 MSE + 0.3 cosine loss. "prior art"
is that recipe as it is used: its "best" weights are a shallow copy, so the last epoch's are what is kept. "best epoch" is chosen
by the very held-out rows that it is judged on, a favour that embedport does not get. Each seed draws
other pairs; figures are mean ± standard deviation over the seeds, and differences are taken within a seed.

Build first: cargo build --release --example fit_pairs
Run:         python benches/prior_art.py --data DIR [--pairs 1000] [--seeds 0 1 2] [--every 2 --offset 1]
DIR holds texts.SPACE.npy, one row per text. Needs numpy and torch.
"""

import argparse
import copy
import json
import os
import pathlib
import subprocess
import tempfile
import time

import numpy as np
import torch

K = 10


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def top(x):
    similar = unit(x) @ unit(x).T
    np.fill_diagonal(similar, -np.inf)
    return np.argpartition(-similar, K, axis=1)[:, :K]


def figures(predicted, target):
    mse = float(((predicted - target) ** 2).mean()) * 1e4
    mse_unit = float(((unit(predicted) - target) ** 2).mean()) * 1e4
    cosine = float((unit(predicted) * unit(target)).sum(1).mean())
    overlap = float(np.mean([len(set(a) & set(b)) / K for a, b in zip(top(predicted), top(target))]))
    return mse, mse_unit, cosine, overlap


def prior_art(x, y, held_x, held_y, seed):
    torch.manual_seed(seed)
    x, y, held_x, held_y = (torch.from_numpy(a) for a in (x, y, held_x, held_y))
    layer = torch.nn.Linear(x.shape[1], y.shape[1])
    torch.nn.init.xavier_uniform_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimiser = torch.optim.Adam(layer.parameters(), lr=1e-3)

    def loss_of(x, y):
        out = layer(x)
        cosine = 1 - torch.nn.functional.cosine_similarity(out, y, dim=1).mean()
        return 0.7 * torch.nn.functional.mse_loss(out, y) + 0.3 * cosine

    best = (float("inf"), None)
    for _ in range(100):
        order = torch.randperm(len(x))
        for rows in order.split(32):
            optimiser.zero_grad()
            loss_of(x[rows], y[rows]).backward()
            optimiser.step()
        with torch.no_grad():
            loss = float(loss_of(held_x, held_y))
        if loss < best[0]:
            best = (loss, copy.deepcopy(layer.state_dict()))
    def apply(rows):
        return layer(torch.from_numpy(rows)).detach().numpy()

    def apply_best(rows):
        last = copy.deepcopy(layer.state_dict())
        layer.load_state_dict(best[1])
        out = apply(rows)
        layer.load_state_dict(last)
        return out

    return {"prior art": apply, "prior art, best epoch": apply_best}


METHODS = ["contrast", "ridge", "gradient"]
COLUMNS = ["MSE x 1e4", "MSE x 1e4, unit length", "cosine", "overlap@10", "fit s"]
DIGITS = [3, 3, 4, 4, 3]


def run(source, target, options, seed):
    """Figures of every method in the order of COLUMNS, by rows and method, for one draw of pairs."""
    order = np.random.default_rng(seed).permutation(len(source))
    held_rows = options.pairs // 5
    held, train = order[:held_rows], order[held_rows : options.pairs]
    unseen = order[options.pairs : options.pairs + 2000]
    judged = {f"held-out ({len(held)})": held, f"unseen ({len(unseen)})": unseen}
    everything = np.concatenate([held, unseen])
    predictions, seconds = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        files = [pathlib.Path(folder) / f for f in ("x.npy", "y.npy", "rows.npy", "out.npy")]
        for file, rows in zip(files, (source[train], target[train], source[everything])):
            np.save(file, rows)
        for method in METHODS:
            done = subprocess.run([options.binary.resolve(), method, *files], check=True, capture_output=True)
            seconds[method] = json.loads(done.stdout)["seconds"]
            predictions[method] = np.load(files[-1])
    start = time.perf_counter()
    for name, apply in prior_art(source[train], target[train], source[held], target[held], seed).items():
        seconds[name] = seconds.get("prior art", time.perf_counter() - start)
        predictions[name] = apply(source[everything])
    found, at = {}, 0
    for name, rows in judged.items():
        for method, predicted in predictions.items():
            found[name, method] = (*figures(predicted[at : at + len(rows)], target[rows]), seconds[method])
        at += len(rows)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--pairs", type=int, default=1000, help="pairs of which a fifth is held out")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--every", type=int, default=1, help="use each so manyth row of the data")
    parser.add_argument("--offset", type=int, default=0, help="first row that is used")
    parser.add_argument("--threads", type=int, help="threads of torch and of embedport")
    parser.add_argument("--binary", type=pathlib.Path, default=pathlib.Path("target/release/examples/fit_pairs"))
    parser.add_argument("--spaces", nargs="+", default=["m2v:minilm", "minil3:minilm", "minilm:ppmi"])
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
        os.environ["RAYON_NUM_THREADS"] = str(options.threads)
    for spaces in options.spaces:
        source, target = (
            np.load(options.data / f"texts.{s}.npy").astype(np.float32)[options.offset :: options.every]
            for s in spaces.split(":")
        )
        runs = [run(source, target, options, seed) for seed in options.seeds]
        print(f"\n{spaces}, {options.pairs - options.pairs // 5} training pairs, seeds {options.seeds}")
        print(f"| rows | method | {' | '.join(COLUMNS)} |")
        print("|---" * (len(COLUMNS) + 2) + "|")
        for name, method in runs[0]:
            values = np.array([r[name, method] for r in runs])
            spread = values.std(0, ddof=1) if len(runs) > 1 else np.zeros(len(COLUMNS))
            cells = [f"{m:.{d}f} ± {s:.{d}f}" for m, s, d in zip(values.mean(0), spread, DIGITS)]
            print(f"| {name} | {method} | {' | '.join(cells)} |")
        for name in dict.fromkeys(name for name, _ in runs[0]):
            differences = np.array([np.subtract(r[name, METHODS[0]], r[name, "prior art"])[3] for r in runs])
            print(f"{name}: overlap of {METHODS[0]} less that of the prior art by seed: {np.round(differences, 4)}")
        slow, fast = (sum(r[name, m][4] for r in runs) for m in ("prior art", METHODS[0]))
        print(f"{METHODS[0]} fits {slow / fast:.0f} times faster than the prior art", flush=True)


if __name__ == "__main__":
    main()
