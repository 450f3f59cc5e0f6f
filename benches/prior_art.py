"""Compares embedport's fits with the usual torch recipe on the same pairs, in the same run.

The recipe: torch.nn.Linear, Xavier, Adam 1e-3, batches of 32, 100 epochs, 0.7 MSE + 0.3 cosine loss. It is given
the best epoch by the very rows that it is judged on, a favour that embedport does not get.

Build first: cargo build --release --example fit_pairs
Run:         python benches/prior_art.py --data DIR [--pairs 1000] [--seed 0]
DIR holds texts.SPACE.npy, one row per text. Needs numpy and torch.
"""

import argparse
import copy
import json
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
    mse = float(((predicted - target) ** 2).mean())
    mse_unit = float(((unit(predicted) - target) ** 2).mean())
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
    layer.load_state_dict(best[1])
    return lambda rows: layer(torch.from_numpy(rows)).detach().numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--binary", type=pathlib.Path, default=pathlib.Path("target/release/examples/fit_pairs"))
    parser.add_argument("--spaces", nargs="+", default=["m2v:minilm", "minil3:minilm"])
    options = parser.parse_args()
    for spaces in options.spaces:
        source, target = (
            np.load(options.data / f"texts.{s}.npy").astype(np.float32) for s in spaces.split(":")
        )
        order = np.random.default_rng(options.seed).permutation(len(source))
        held_rows = options.pairs // 5
        held, train = order[:held_rows], order[held_rows : options.pairs]
        unseen = order[options.pairs : options.pairs + 2000]
        judged = {f"held-out ({len(held)})": held, f"unseen ({len(unseen)})": unseen}
        predictions, seconds, whole = {}, {}, {}

        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            everything = np.concatenate(list(judged.values()))
            np.save(folder / "x.npy", source[train])
            np.save(folder / "y.npy", target[train])
            np.save(folder / "held.npy", source[everything])
            for method in ["ridge", "gradient"]:
                start = time.perf_counter()
                files = [folder / f for f in ("x.npy", "y.npy", "held.npy", "out.npy")]
                done = subprocess.run([options.binary, method, *files], check=True, capture_output=True)
                whole[method] = time.perf_counter() - start
                seconds[method] = json.loads(done.stdout)["seconds"]
                predictions[method] = np.load(folder / "out.npy")
        start = time.perf_counter()
        apply = prior_art(source[train], target[train], source[held], target[held], options.seed)
        seconds["prior art"] = whole["prior art"] = time.perf_counter() - start
        predictions["prior art"] = apply(source[everything])

        print(f"\n{spaces}, {len(train)} training pairs, seed {options.seed}")
        print("| rows | method | MSE x 1e4 | MSE x 1e4, unit length | cosine | overlap@10 | fit s | process s |")
        print("|---|---|---|---|---|---|---|---|")
        at = 0
        for name, rows in judged.items():
            for method, predicted in predictions.items():
                mse, mse_unit, cosine, overlap = figures(predicted[at : at + len(rows)], target[rows])
                print(
                    f"| {name} | {method} | {mse * 1e4:.3f} | {mse_unit * 1e4:.3f} | {cosine:.4f} | {overlap:.4f}"
                    f" | {seconds[method]:.3f} | {whole[method]:.3f} |"
                )
            at += len(rows)
        print(f"ridge fits {seconds['prior art'] / seconds['ridge']:.0f} times faster than the prior art")


if __name__ == "__main__":
    main()
