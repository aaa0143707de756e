"""Every entry of a torch target checked: batched here, one by one in torch's own gradcheck.

    python benchmarks/torch_batch.py [--device cuda] [--only WORDS] [--default]

Prints, for each loss of some ten thousand entries, the seconds of both and their ratio, and stops
if a verdict is not the one that the gradient deserves. Both run in one process, on one thread, in
turn; processor time counts (wall-clock time on a GPU), and of the repetitions the fastest. With
--default gradcheck runs as it comes, forward mode included; else by central differences alone.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import gradcheck
from benchmarks.timing import table
from benchmarks.torch_fields import fields
from benchmarks.torch_losses import Target, drawn_on, nets_and_sums
from benchmarks.torch_models import models


def targets(device: str) -> list[Target]:
    """Return all losses."""
    drawn = drawn_on(device)
    return [*nets_and_sums(drawn), *fields(drawn), *models(drawn)]


def timed(function: Callable[[Target], bool], target: Target) -> tuple[float, bool]:
    """Return the seconds that a check takes, and whether it passed."""
    if target.inputs[0].is_cuda:
        torch.cuda.synchronize()
        began = time.perf_counter()
        passed = function(target)
        torch.cuda.synchronize()
        return time.perf_counter() - began, passed
    began = time.process_time()
    passed = function(target)
    return time.process_time() - began, passed


def ours(target: Target) -> bool:
    """Check every entry by central differences."""
    check = gradcheck.check(target.loss, target.inputs, entries="all", oracles=("central",))
    return str(check.verdict) == "pass"


def as_it_comes(target: Target) -> bool:
    """Check every entry by every oracle that applies by itself."""
    return str(gradcheck.check(target.loss, target.inputs, entries="all").verdict) == "pass"


def theirs(target: Target) -> bool:
    """Check with torch's gradcheck in slow mode."""
    return bool(
        torch.autograd.gradcheck(target.loss, target.inputs, fast_mode=False, raise_exception=False)
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", default="", help="leave out losses without these words")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--default", action="store_true", help="all oracles, as it comes")
    options = parser.parse_args()
    mine = as_it_comes if options.default else ours
    torch.set_num_threads(1)
    rows = []
    mine(targets(options.device)[0])  # imports and first calls are not what is timed
    for target in targets(options.device):
        if options.only not in target.name:
            continue
        pairs = [(timed(mine, target), timed(theirs, target)) for _ in range(options.repetitions)]
        seconds = min(own[0] for own, _ in pairs)
        peer_seconds = min(peer[0] for _, peer in pairs)
        verdicts = {passed for pair in pairs for _, passed in pair}
        if verdicts != {target.right}:
            raise SystemExit(f"{target.name}: a verdict is wrong")
        ratio = f"{peer_seconds / seconds:.1f}"
        verdict = "pass" if target.right else "fail"
        print(f"{target.name}: {ratio}", file=sys.stderr, flush=True)
        rows.append(
            [
                *(target.name, f"{target.size:,}", f"{peer_seconds:.2f} s", f"{seconds:.2f} s"),
                *(ratio, verdict),
            ]
        )
    head = ("loss", "entries", "torch, slow mode", "gradcheck", "times as fast", "both say")
    print(table(head, rows))


if __name__ == "__main__":
    main()
