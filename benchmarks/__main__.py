"""Run the benchmark: ``python -m benchmarks [METHOD ...] [--networks a,b] [--rounds N] [--out FILE]``."""

import argparse
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from benchmarks.contestants import METHODS
from benchmarks.networks import NETWORKS, as_loaded, pictures
from benchmarks.race import race
from benchmarks.startup import startup

PEERS = ("captum", "grad-cam", "torchcam")


def main() -> None:
    """Race, print a Markdown page, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", default=[*METHODS, "startup"])
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    lines = [_heading(), ""]
    for name in given.methods:
        lines += startup() if name == "startup" else _table(name, given.networks.split(","), given.rounds)
        print("\n".join(lines[-8:]), flush=True)
    if given.out:
        given.out.write_text("\n".join(lines) + "\n")


def _table(name: str, networks: list[str], rounds: int) -> list[str]:
    lines = [f"## {name}", "", (METHODS[name].__doc__ or "").strip(), ""]
    header: list[str] = []
    for network in networks:
        model = NETWORKS[network]()
        as_loaded(model.module)
        # The long ones need fewer rounds: each is a sum over fifty passes already.
        long = name in {"integrated_gradients", "smooth_grad"}
        result = race(METHODS[name](model, pictures()), rounds=max(3, rounds // 3) if long else rounds, warm_up=1)
        if not header:
            header = list(result.seconds)
            lines += ["| network | " + " | ".join(header) + " |", "| --- |" + " ---: |" * len(header)]
        cells = [f"{result.seconds[who] * 1000:.0f} ms ({result.ratios[who]:.2f}×)" for who in header]
        lines.append(f"| {network} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    return [*lines, ""]


def _heading() -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in ("convscope", "torch", *PEERS))
    when = datetime.now(UTC).date().isoformat()
    cores = os.cpu_count()
    return (
        f"{when}, {platform.machine()} with {cores} cores, {torch.get_num_threads()} threads, {versions}.\n"
        "224 × 224, one picture, float32; networks as loaded (parameters require gradients), the limit's frozen.\n"
        "Medians over rounds in which the contestants take turns; in brackets the median ratio to the limit."
    )


if __name__ == "__main__":
    main()
