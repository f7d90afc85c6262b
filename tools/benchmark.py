"""Measure training, or the translation of pictures or videos, beside mmgen doing the same.

Example:
    python tools/benchmark.py train configs/cyclegan/mine.py --threads 2
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from mmgen_ext import benchmark, benchmark_train, benchmark_whole, cli


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.new_parser(__doc__)
    add = parser.add_argument
    add("what", choices=("train", "translate", "video"), help="what is measured")
    add("config", help="config file; the weights are random")
    add("--sizes", type=int, nargs="+", metavar="N",
        help="sides of the pictures (default: 256 512, and 128 for train)")  # fmt: skip
    add("--seconds", type=float, default=10, metavar="S",
        help="time for each contender and size, about (default: 10)")  # fmt: skip
    add("--batch", type=int, default=1, metavar="N", help="pictures of a step (default: 1)")
    add("--rounds", type=int, default=10, metavar="N",
        help="how often each training step is measured (default: 10)")  # fmt: skip
    add("--device", default="auto", help="where it trains: auto, cpu or cuda:N (default: auto)")
    add("--whole", action="store_true",
        help="train: both libraries' tools/train.py as shipped, loader included")  # fmt: skip
    add("--threads", type=int, metavar="N", help="threads of PyTorch (default: its own choice)")
    add("--clip", type=Path, metavar="PATH", help="video file; needed for video")
    add("--frames", type=int, default=50, metavar="N", help="frames of it (default: 50)")
    cli.add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.what == "train" and args.whole:
        print(benchmark_whole.whole(args.config, args.rounds, options=args.cfg_options))
    elif args.what == "train":
        for size in args.sizes or [128]:
            print(benchmark_train.step(args.config, size, args.batch, args.rounds, args.device,
                                       args.cfg_options))  # fmt: skip
    elif args.what == "translate":
        print(benchmark.translate(args.config, args.sizes or [256, 512], args.seconds))
    elif args.clip is None:
        raise ValueError("video needs a clip: --clip PATH")
    else:
        print(benchmark.video(args.config, args.clip, args.frames))


if __name__ == "__main__":
    cli.run(main)
