"""Translate pictures, videos or a camera with a trained model; each keeps its own size.

Examples:
    python tools/translate.py CONFIG work_dirs/NAME/latest.pth photo.jpg holidays/ --to monet
    python tools/translate.py auto monet2photo film.mp4 --out film_monet.mp4 --stabilise
    python tools/translate.py auto vintagify - < photo.jpg > vintage.png
    python tools/translate.py auto published_styles/ photo.jpg
"""

import argparse
import contextlib
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmgen_ext import cli
from mmgen_ext.inference.media import is_camera
from mmgen_ext.inference.picture_file import Picture, decode_picture, encode_picture, write_picture
from mmgen_ext.inference.sheet import contact_sheet, find_styles
from mmgen_ext.inference.translate import Report, translate_files
from mmgen_ext.inference.translator import Translator
from mmgen_ext.inference.zoo import find_weights


def number(text: str) -> int:
    """Parse a whole number of at least 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}; expected a whole number of at least 1")
    return int(text)


def size(text: str) -> int | None:
    """Parse --size."""
    return None if text == "native" else number(text)


def tile(text: str) -> int | None:
    """Parse --tile."""
    return {"auto": None, "off": 0}[text] if text in ("auto", "off") else number(text)


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.new_parser(__doc__)
    add = parser.add_argument
    add("config", help="config file, or auto for the one in the checkpoint or none at all")
    add("checkpoint", help="checkpoint (ours, mmgen's, the original authors' or another ResNet "
        "CycleGAN's), .onnx file, a name of configs/cyclegan/metafile.yml, or a folder of them "
        "for a sheet of all styles")  # fmt: skip
    add("inputs", nargs="+", metavar="INPUT",
        help="images, videos, folders, patterns, a camera's number, or - for standard input")  # fmt: skip
    add("--checkpoint", dest="more", nargs="+", default=[], metavar="CKPT",
        help="further checkpoints: one labelled sheet of each image in every style")  # fmt: skip
    add("--to", metavar="DOMAIN", help="target domain (default: the model's)")
    add("--out", type=Path, metavar="PATH", help="folder, or a file for one input, or - for "
        "standard output (default: work_dirs/translated/DOMAIN)")  # fmt: skip
    add("--size", type=size, metavar="native|N", help="work at short side N (default: native)")
    add("--tile", type=tile, metavar="auto|off|N",
        help="translate large images in parts of N rows (default: auto, as the memory demands)")  # fmt: skip
    add("--batch-size", type=number, default=1, metavar="N", help="images at once (default: 1)")
    add("--bits", type=int, choices=(8, 16), default=8, help="16 for PNG or TIFF of 16 bits")
    add("--device", default="auto", help="auto, cpu, cuda:N or mps (default: auto)")
    add("--precision", default="auto", help="auto, fp32, bf16 or fp16 (default: auto, fp32)")
    add("--compare", action="store_true", help="input and output side by side; a video is split")
    add("--overwrite", action="store_true", help="translate again what is already there")
    video = parser.add_argument_group("video and camera").add_argument
    video("--start", type=float, metavar="S", help="begin at this second")
    video("--end", type=float, metavar="S", help="end at this second")
    video("--fps", type=float, metavar="N", help="frames per second (default: the video's own)")
    video("--quality", type=int, default=18, metavar="CRF",
        help="constant rate factor of the encoder, less is better (default: 18)")  # fmt: skip
    video("--codec", help="FFmpeg's name of the encoder (default: libx264, in WebM libvpx-vp9)")
    video("--stabilise", nargs="?", type=float, const=True, default=False, metavar="0..1",
        help="take flicker out")  # fmt: skip
    return parser.parse_args()


def process_share() -> tuple[int, int, int]:
    """(rank, number of processes, rank on this machine) as torchrun says."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    return (
        tuple(int(os.environ[n]) for n in names)
        if all(n in os.environ for n in names)
        else (0, 1, 0)
    )


def pipe(translator: Translator, args: argparse.Namespace) -> None:
    """Translate standard input, or write one picture to standard output."""
    if len(args.inputs) > 1:
        raise ValueError(f"- stands for one image; got {len(args.inputs)} inputs")
    name = args.inputs[0]
    data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    try:
        picture = decode_picture(data, translator.channels(args.to), args.bits)
    except ValueError as error:
        raise ValueError(
            f"cannot read {'standard input' if name == '-' else name}: {error}"
        ) from None
    picture.pixels = translator(picture.pixels, args.to, args.size)
    if args.out in (None, Path("-")):
        sys.stdout.buffer.write(encode_picture(picture, ".png"))
    else:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_picture(args.out, picture)


def sheet(args: argparse.Namespace) -> int:
    """One labelled sheet of each image in every style."""
    ...


def report(found: Report, to: str, out: Path) -> int:
    """Say what was done, and return the exit code."""
    if found.kept:
        print(f"{len(found.kept)} already there; --overwrite translates them again")
    print(f"{len(found.done)} translated to {to}: {out}")
    for line in found.notes:
        print(f"note: {line}", file=sys.stderr)
    for line in found.failed.values():
        print(f"failed: {line}", file=sys.stderr)
    return 1 if found.failed else 0


def main() -> int:
    """Translate, and say where the pictures are and which failed."""
    args = parse_args()
    ...


if __name__ == "__main__":
    cli.run(main)
