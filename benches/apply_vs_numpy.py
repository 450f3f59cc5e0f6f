#!/usr/bin/env python3
"""The matrix product of a projection beside numpy's (OpenBLAS) and torch's, float32, equal threads, in turns.

    apply_vs_numpy.py [--rows 100000 --source 384 --target 768 --threads 1 --threads 2]

Needs numpy and torch; builds `cargo bench --bench apply`. Prints vectors per second (medians) and the ratios.
"""
import argparse
import json
import os
import subprocess
import sys

RIVAL = r"""
import json, sys, time
rows, source, target, rounds, threads, which = sys.argv[1:]
rows, source, target, rounds, threads = map(int, (rows, source, target, rounds, threads))
import numpy as np
rng = np.random.RandomState(1)
x = rng.standard_normal((rows, source)).astype(np.float32)
w = rng.standard_normal((source, target)).astype(np.float32)
b = np.ones(target, dtype=np.float32)
if which == "torch":
    import torch
    torch.set_num_threads(threads)
    x, w, b = map(torch.from_numpy, (x, w, b))
    out = torch.empty((rows, target))
    def apply(): torch.addmm(b, x, w, out=out)
else:
    out = np.empty((rows, target), dtype=np.float32)
    def apply():
        np.matmul(x, w, out=out)
        np.add(out, b, out=out)
times = []
for _ in range(rounds + 1):
    start = time.perf_counter()
    apply()
    times.append(time.perf_counter() - start)
print(json.dumps({"median": sorted(times[1:])[rounds // 2]}))
"""


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rows", type=int, default=100_000)
    p.add_argument("--source", type=int, default=384)
    p.add_argument("--target", type=int, default=768)
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--threads", type=int, action="append")
    a = p.parse_args()
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    shape = [str(n) for n in (a.rows, a.source, a.target, a.rounds)]
    print("| threads | embedport | numpy | torch | of numpy | of torch |\n|---|---|---|---|---|---|")
    for threads in a.threads or [1, 2]:
        env = dict(os.environ, RAYON_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads),
                   OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
        own = subprocess.run(["cargo", "bench", "--quiet", "--bench", "apply", "--"] + shape, cwd=root, env=env,
                             stdout=subprocess.PIPE, text=True, check=True).stdout
        speed = {"embedport": a.rows / json.loads(own.strip().splitlines()[-1])["median"]}
        for which in ("numpy", "torch"):
            out = subprocess.run([sys.executable, "-c", RIVAL] + shape + [str(threads), which], env=env,
                                 stdout=subprocess.PIPE, text=True, check=True).stdout
            speed[which] = a.rows / json.loads(out)["median"]
        print("| %d | %.0f | %.0f | %.0f | %.2f | %.2f |" % (
            threads, speed["embedport"], speed["numpy"], speed["torch"],
            speed["embedport"] / speed["numpy"], speed["embedport"] / speed["torch"]))


if __name__ == "__main__":
    main()
