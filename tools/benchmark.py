"""Measure how fast pictures or videos are translated, beside mmgen doing the same in the same run.

Example:
    python tools/benchmark.py translate configs/cyclegan/mine.py
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from mmgen_ext import benchmark, cli


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.new_parser(__doc__)
    add = parser.add_argument
    add("what", choices=("translate", "video"), help="what is measured")
    add("config", help="config file; the weights are random")
    add("--sizes", type=int, nargs="+", default=[256, 512], metavar="N",
        help="sides of the pictures (default: 256 512)")  # fmt: skip
    add("--seconds", type=float, default=10, metavar="S",
        help="time for each contender and size, about (default: 10)")  # fmt: skip
    add("--threads", type=int, metavar="N", help="threads of PyTorch (default: its own choice)")
    add("--clip", type=Path, metavar="PATH", help="video file; needed for video")
    add("--frames", type=int, default=50, metavar="N", help="frames of it (default: 50)")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.what == "translate":
        print(benchmark.translate(args.config, args.sizes, args.seconds))
    elif args.clip is None:
        raise ValueError("video needs a clip: --clip PATH")
    else:
        print(benchmark.video(args.config, args.clip, args.frames))


if __name__ == "__main__":
    cli.run(main)
