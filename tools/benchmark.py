"""Measure training, or the translation of pictures or videos, beside mmgen doing the same.

Examples:
    python tools/benchmark.py train configs/cyclegan/mine.py --threads 2
    python tools/benchmark.py growth CONFIG --sizes 64 128 --plot work_dirs/growth.png
    python tools/benchmark.py loader configs/cyclegan/mine.py --images 100 10000
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if (ROOT / "mmgen_ext").is_dir():  # a checkout
    sys.path.insert(0, str(ROOT))

import torch

from mmgen_ext import (
    benchmark,
    benchmark_growth,
    benchmark_loader,
    benchmark_train,
    benchmark_video,
    benchmark_whole,
    cli,
)


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.new_parser(__doc__)
    add = parser.add_argument
    add("what", choices=("train", "growth", "loader", "translate", "video"),
        help="a training step; how it grows with size, batch and processes; loading pictures; "
        "translating pictures; a video")  # fmt: skip
    add("config", help="config file; the weights are random")
    add("--sizes", type=cli.number, nargs="+", metavar="N",
        help="sides of the pictures (default: 256 512; train 128; growth 128 64 256 512, the "
        "first with each batch; loader 256)")  # fmt: skip
    add("--seconds", type=float, default=10, metavar="S",
        help="time for each contender and size, about (default: 10)")  # fmt: skip
    add("--batch", type=cli.number, default=1, metavar="N", help="pictures of a step (default: 1)")
    add("--rounds", type=cli.number, default=10, metavar="N",
        help="how often each training step is measured (default: 10)")  # fmt: skip
    add("--device", default="auto", help="where it trains: auto, cpu or cuda:N (default: auto)")
    add("--whole", action="store_true",
        help="train: both libraries' tools/train.py as shipped, loader included")  # fmt: skip
    add(
        "--threads",
        type=cli.number,
        metavar="N",
        help="threads of PyTorch (default: its own choice)",
    )
    growth = parser.add_argument_group("growth and loader").add_argument
    growth("--batches", type=cli.number, nargs="+", metavar="N", default=[1, 2, 4, 8],
           help="pictures of a pass, the first with each size (default: 1 2 4 8)")  # fmt: skip
    growth("--ranks", type=cli.number, nargs="+", metavar="N", default=[1, 2],
           help="processes (default: 1 2)")  # fmt: skip
    growth("--images", type=cli.number, nargs="+", metavar="N",
           default=[100, 1000, 10_000, 100_000],
           help="pictures of the data sets (default: 100 1000 10000 100000)")  # fmt: skip
    growth("--workers", type=int, nargs="+", metavar="N", default=[0, 1, 2, 4],
           help="processes that load (default: 0 1 2 4)")  # fmt: skip
    growth("--plot", type=Path, metavar="PNG", help="file for a plot")
    add("--clip", type=Path, metavar="PATH", help="video file; needed for video")
    add("--frames", type=cli.number, default=50, metavar="N", help="frames of it (default: 50)")
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
    elif args.what == "growth":
        benchmark_growth.growth(
            args.config, args.sizes or [128, 64, 256, 512], args.batches, args.ranks,
            iters=args.rounds, plot=args.plot, device=args.device, options=args.cfg_options,
        )  # fmt: skip
    elif args.what == "loader":
        print(benchmark_loader.loader(
            args.config, args.images, args.workers, (args.sizes or [256])[0], args.seconds,
            args.plot, args.cfg_options,
        ))  # fmt: skip
    elif args.what == "translate":
        print(benchmark.translate(args.config, args.sizes or [256, 512], args.seconds))
    elif args.clip is None:
        raise ValueError("video needs a clip: --clip PATH")
    else:
        print(benchmark_video.video(args.config, args.clip, args.frames))


if __name__ == "__main__":
    cli.run(main)
