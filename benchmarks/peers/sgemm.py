#!/usr/bin/python3
"""OpenBLAS sgemm on one core, as numpy calls it: the yardstick for counted FLOPs.

    apt-get install -y python3-numpy libopenblas0
    OPENBLAS_NUM_THREADS=1 /usr/bin/python3 sgemm.py [--size 1024] [--seconds 2]

Prints one JSON object: {"size", "gflops"}, a mean over the time, as our own figures are.
"""
import argparse
import json
import time

import numpy as np


def main():
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--size", type=int, default=1024)
    cli.add_argument("--seconds", type=float, default=2)
    args = cli.parse_args()
    n = args.size
    a = np.random.default_rng(0).standard_normal((n, n), dtype=np.float32)
    b, c = a.T.copy(), np.empty_like(a)
    np.matmul(a, b, out=c)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < args.seconds:
        np.matmul(a, b, out=c)
        count += 1
    rate = count * 2 * n**3 / (time.perf_counter() - start)
    print(json.dumps({"size": n, "gflops": round(rate / 1e9, 1)}))


if __name__ == "__main__":
    main()
