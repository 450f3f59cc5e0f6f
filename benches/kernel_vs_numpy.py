#!/usr/bin/env python3
"""A kernel projection beside numpy (OpenBLAS) doing the same arithmetic, float32, equal threads, in turns.

    kernel_vs_numpy.py --embedport target/release/embedport --source SOURCE.npy --target TARGET.npy
                       [--pairs 5000 --threads 2 --rounds 7]

Fits the method `kernel` to as many random pairs of rows, maps the other rows. numpy takes the tensors of the projection file:
cosines with all centres, φ above the threshold, two matrix products. Says how far the results lie apart. Needs numpy;
builds `cargo bench --bench apply`.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

RIVAL = r"""
import json, struct, sys, time
import numpy as np
file, vectors, rounds, ours = sys.argv[1:]
raw = open(file, "rb").read()
size = struct.unpack("<Q", raw[:8])[0]
tensors = {}
for name, t in json.loads(raw[8:8 + size]).items():
    if t != {} and name != "__metadata__" and t["dtype"] == "F32":
        first, end = t["data_offsets"]
        tensors[name] = np.frombuffer(raw[8 + size + first:8 + size + end], np.float32).reshape(t["shape"])
weight, source_mean, target_mean = (tensors[n] for n in ("weight", "source_mean", "target_mean"))
centres, threshold, coefficients = (tensors[n] for n in ("centres", "threshold", "coefficients"))
POWERS = (0.636336, 0.254535, 0.081451, 0.02172, 0.004965, 0.000993)
def apply(x):
    out = np.empty((len(x), len(target_mean)), np.float32)
    for first in range(0, len(x), 1024):
        c = x[first:first + 1024] - source_mean
        length = np.linalg.norm(c, axis=1, keepdims=True)
        u = (c / np.maximum(length, 1e-30)) @ centres.T
        phi = np.zeros_like(u)
        for power in reversed(POWERS):
            phi *= u
            phi += np.float32(power)
        phi *= u * u * u
        phi[u <= threshold] = 0
        out[first:first + 1024] = c @ weight.T + target_mean + length * (phi @ coefficients)
    return out
x = np.load(vectors)
times = []
for _ in range(int(rounds) + 1):
    start = time.perf_counter()
    out = apply(x)
    times.append(time.perf_counter() - start)
apart = float(np.abs(out - np.load(ours)).max() / np.abs(out).max())
print(json.dumps({"median": sorted(times[1:])[int(rounds) // 2], "apart": apart, "centres": len(centres)}))
"""


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--embedport", required=True)
    p.add_argument("--source", required=True)
    p.add_argument("--target", required=True)
    p.add_argument("--pairs", type=int, default=5000)
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--threads", type=int, action="append")
    a = p.parse_args()
    import numpy as np
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    print("| source to target | centres | threads | embedport | numpy | of numpy | apart |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as work:
        x, y = (np.load(f).astype(np.float32) for f in (a.source, a.target))
        order = np.random.RandomState(0).permutation(len(x))
        names = {n: os.path.join(work, n) for n in ("x.npy", "y.npy", "rest.npy", "out.npy", "k.safetensors")}
        given = a.pairs + min(500, a.pairs // 4)  # `train` holds a fifth out, at most 500
        for name, rows in (("x.npy", x[order[:given]]), ("y.npy", y[order[:given]]), ("rest.npy", x[order[given:]])):
            np.save(names[name], rows)
        subprocess.run([a.embedport, "train", "--source-vectors", names["x.npy"], "--target-vectors", names["y.npy"],
                        "--source-model", "source", "--target-model", "target", "--method", "kernel", "--name", "k",
                        "--samples", str(given), "--output-dir", work, "--registry", os.path.join(work, "registry.json")],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for threads in a.threads or [1, 2]:
            env = dict(os.environ, RAYON_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads))
            own = subprocess.run(["cargo", "bench", "--quiet", "--bench", "apply", "--", names["k.safetensors"],
                                  names["rest.npy"], str(a.rounds), names["out.npy"]], cwd=root, env=env,
                                 stdout=subprocess.PIPE, text=True, check=True).stdout
            said = subprocess.run([sys.executable, "-c", RIVAL, names["k.safetensors"], names["rest.npy"], str(a.rounds),
                                   names["out.npy"]], env=env, stdout=subprocess.PIPE, text=True, check=True).stdout
            ours = (len(x) - given) / json.loads(own.strip().splitlines()[-1])["median"]
            rival = json.loads(said)
            numpy = (len(x) - given) / rival["median"]
            print("| %d to %d | %d | %d | %.0f/s | %.0f/s | %.2f | %.1e |" % (
                x.shape[1], y.shape[1], rival["centres"], threads, ours, numpy, ours / numpy, rival["apart"]))


if __name__ == "__main__":
    main()
