"""Translate pictures with a trained model; each keeps its own size and aspect.

Example:
    python tools/translate.py CONFIG work_dirs/NAME/latest.pth photo.jpg holidays/ --to monet
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmgen_ext import cli
from mmgen_ext.inference.translate import plan, translate_files
from mmgen_ext.inference.translator import Translator


def size(text: str) -> int | None:
    """Parse --size."""
    if text == "native":
        return None
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}; expected native or a number of pixels")
    return int(text)


def count(text: str) -> int:
    """Parse a number of at least 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}; expected a whole number of at least 1")
    return int(text)


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.new_parser(__doc__)
    add = parser.add_argument
    add("config", help="config file, or auto for the one in the checkpoint")
    add("checkpoint", help="checkpoint of mmgen_ext or MMGeneration")
    add("inputs", nargs="+", metavar="INPUT", help="images, folders or glob patterns")
    add("--to", metavar="DOMAIN", help="target domain (default: the model's)")
    add("--out", type=Path, metavar="PATH", help="folder, or a file for one image "
        "(default: work_dirs/translated/DOMAIN)")  # fmt: skip
    add("--size", type=size, metavar="native|N", help="work at short side N (default: native)")
    add("--batch-size", type=count, default=1, metavar="N", help="images at once (default: 1)")
    add("--device", default="auto", help="auto, cpu, cuda:N or mps (default: auto)")
    add("--precision", default="auto", help="auto, fp32, bf16 or fp16 (default: auto, fp32)")
    add("--compare", action="store_true", help="write input and output side by side")
    add("--overwrite", action="store_true", help="translate again what is already there")
    return parser.parse_args()


def main() -> int:
    """Translate, and say where the pictures are and which failed."""
    args = parse_args()
    translator = Translator(args.config, args.checkpoint, args.device, args.precision)
    to = args.to or translator.default_domain
    translator.network(to)
    out = args.out or Path("work_dirs", "translated", to)
    jobs = plan(args.inputs, out)
    todo = {s: t for s, t in jobs.items() if args.overwrite or not t.exists()}
    if len(todo) < len(jobs):
        print(f"{len(jobs) - len(todo)} already there; --overwrite translates them again")
    failed = translate_files(translator, todo, to, args.size, args.batch_size, args.compare)
    print(f"{len(todo) - len(failed)} translated to {to}: {out}")
    for reason in failed.values():
        print(f"failed: {reason}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    cli.run(main)
