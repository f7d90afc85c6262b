"""Translate pictures, videos or a camera with a trained model; each keeps its own size.

Examples:
    python tools/translate.py CONFIG work_dirs/NAME/latest.pth photo.jpg holidays/ --to monet
    python tools/translate.py auto photo2monet film.mp4 --out work_dirs/film_monet.mp4 --stabilise
    python tools/translate.py auto vintagify - < photo.jpg > work_dirs/vintage.png
    python tools/translate.py auto work_dirs/styles photo.jpg
"""

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if (ROOT / "mmgen_ext").is_dir():  # a checkout
    sys.path.insert(0, str(ROOT))

import torch
import torch.distributed as dist

from mmgen_ext import cli
from mmgen_ext.inference.media import is_camera, is_video, plan
from mmgen_ext.inference.picture_file import (
    Picture,
    decode_picture,
    encode_picture,
    read_picture,
    translated_picture,
    write_picture,
)
from mmgen_ext.inference.sheet import contact_sheet, find_styles
from mmgen_ext.inference.translate import translate_files
from mmgen_ext.inference.translator import Translator
from mmgen_ext.inference.weights import WEIGHTS
from mmgen_ext.inference.zoo import find_entry
from mmgen_ext.words import counted


def size(text: str) -> int | None:
    """Parse --size."""
    return None if text == "native" else cli.number(text)


def tile(text: str) -> int | None:
    """Parse --tile."""
    return {"auto": None, "off": 0}[text] if text in ("auto", "off") else cli.number(text)


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = cli.new_parser(__doc__)
    add = parser.add_argument
    add("config", help="config file, or auto for the one in the checkpoint or none at all")
    add("checkpoint", help="checkpoint (ours, mmgen's, the original authors' or another ResNet "
        "CycleGAN's), .onnx file, a name of configs/cyclegan/metafile.yml, or a folder of them "
        "for a sheet of all styles")  # fmt: skip
    add("inputs", nargs="+", metavar="INPUT", help="images, videos, folders, patterns, "
        "a camera's number, or - for standard input")  # fmt: skip
    add("--checkpoint", dest="more", nargs="+", default=[], metavar="CKPT",
        help="after the inputs, further checkpoints: a labelled sheet of each image "
        "in all styles")  # fmt: skip
    add("--to", metavar="DOMAIN", help="target domain (default: the model's)")
    add("--out", type=Path, metavar="PATH", help="folder, or a file for one input, or - for "
        "standard output (default: work_dirs/translated/DOMAIN)")  # fmt: skip
    add("--size", type=size, metavar="native|N", help="work at short side N (default: native)")
    add("--tile", type=tile, metavar="auto|off|N", help="translate large images in parts of "
        "N rows (default: auto, as the memory demands)")  # fmt: skip
    add("--batch-size", type=cli.number, default=1, metavar="N", help="images at once (default: 1)")
    add("--bits", type=int, choices=(8, 16), default=8, help="16 for PNG or TIFF of 16 bits")
    add("--device", default="auto", help="auto, cpu, cuda:N or mps (default: auto)")
    add("--precision", default="auto", help="auto, fp32, bf16 or fp16 (default: auto, fp32)")
    add("--weights", default="auto", choices=WEIGHTS, help="raw: of the last iteration; ema: their "
        "averages (default: auto, the averages if there are some)")  # fmt: skip
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
    if not all(name in os.environ for name in names):
        return 0, 1, 0
    return tuple(int(os.environ[name]) for name in names)


@contextlib.contextmanager
def all_processes() -> Iterator[None]:
    """End with the others: torchrun stops all as soon as one has failed."""
    try:
        yield
    finally:
        if process_share()[1] > 1:
            store = next(dist.rendezvous("env://", timeout=timedelta(days=7)))[0]
            store.add("done", 1)
            while int(store.add("done", 0)) < process_share()[1]:
                time.sleep(0.2)


def check_new(path: Path | None, overwrite: bool) -> None:
    """Raise a ValueError if a file is there and may not be replaced."""
    if path is not None and path.is_file() and not overwrite:
        raise ValueError(f"{path} is already there; --overwrite replaces it")


def translate_pipe(translator: Translator, args: argparse.Namespace) -> None:
    """Translate standard input, or one image to standard output."""
    if len(args.inputs) > 1:
        raise ValueError(f"- stands for one image; got {len(args.inputs)} inputs")
    name = args.inputs[0]
    if is_video(Path(name)) or is_video(args.out or Path("-")):
        raise ValueError("- stands for one image; a video is read and written as a file")
    check_new(args.out, args.overwrite)
    data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    try:
        picture = decode_picture(data, translator.channels(args.to), args.bits)
    except ValueError as error:
        source = "standard input" if name == "-" else name
        raise ValueError(f"cannot read {source}: {error}") from None
    result = translator(picture.pixels, args.to, args.size)
    picture = translated_picture(picture, result, args.compare)
    if args.out in (None, Path("-")):
        sys.stdout.buffer.write(encode_picture(picture, ".png"))
    else:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_picture(args.out, picture)


def make_sheets(args: argparse.Namespace) -> int:
    """One labelled sheet of each image in every style."""
    if args.config != "auto" or args.compare or args.bits != 8 or args.tile is not None:
        raise ValueError("a sheet takes auto as CONFIG, and no --compare, --bits or --tile")
    styles = find_styles([args.checkpoint, *args.more])
    found = plan(args.inputs, args.out or Path("work_dirs", "translated", "styles"))
    for note in found.notes:
        print(f"{cli.paint('note:', 'yellow')} {note}", file=sys.stderr)
    failed: dict = {}
    rank, processes, _ = process_share()
    for source, target in list(found.jobs.items())[rank::processes]:
        if target.exists() and not args.overwrite:
            print(f"{target} is already there; --overwrite makes it again")
            continue
        try:
            if is_video(source):
                raise ValueError(f"{source} is a video; a sheet shows images")
            sheet, unusable = contact_sheet(
                styles, read_picture(source).pixels, args.to, args.size, args.device, args.precision
            )
            target.parent.mkdir(parents=True, exist_ok=True)
            write_picture(target, Picture(sheet))
        except (ValueError, OSError) as error:
            failed[source] = str(error)
            continue
        failed |= unusable
        print(f"{source} in {counted(len(styles) - len(unusable), 'style')}: {target}")
    for reason in failed.values():
        print(f"{cli.paint('failed:', 'red')} {reason}", file=sys.stderr)
    return 1 if failed else 0


def is_folder_of_styles(name: str) -> bool:
    """Whether a checkpoint is a folder; not a data set's that has the name of known weights."""
    path = Path(name)
    known = len(path.parts) == 1 and find_entry(name)
    return path.is_dir() and not (known and not any(path.glob("*.pth")))


def translate_many(translator: Translator, args: argparse.Namespace) -> int:
    """Images and videos to files."""
    to = args.to or translator.default_domain
    out = args.out or Path("work_dirs", "translated", to)
    video = ("start", "end", "fps", "quality", "codec", "stabilise")
    found = translate_files(
        translator, args.inputs, out, to, args.size, args.batch_size, args.bits,
        args.compare, args.overwrite, process_share()[:2],
        **{name: getattr(args, name) for name in video},
    )  # fmt: skip
    if found.kept:
        print(f"{len(found.kept)} already there; --overwrite translates them again")
    if found.done or not (found.kept or found.failed):
        where = found.done[0] if len(found.done) == 1 else out
        print(f"{len(found.done)} translated to {to}: {where}")
    for line in found.notes:
        print(f"{cli.paint('note:', 'yellow')} {line}", file=sys.stderr)
    for reason in found.failed.values():
        print(f"{cli.paint('failed:', 'red')} {reason}", file=sys.stderr)
    return 1 if found.failed else 0


def main() -> int:
    """Translate, and say where the results are and what failed."""
    args = parse_args()
    with all_processes():
        return run(args)


def run(args: argparse.Namespace) -> int:
    """Do what is asked of this process."""
    if args.more or is_folder_of_styles(args.checkpoint):
        return make_sheets(args)
    device = args.device
    if device == "auto" and torch.cuda.is_available():
        device = f"cuda:{process_share()[2] % torch.cuda.device_count()}"
    translator = Translator(
        args.config, args.checkpoint, device, args.precision, args.tile, args.weights
    )
    if args.to:
        translator.network(args.to)
    if "-" in (*args.inputs, str(args.out)):
        translate_pipe(translator, args)
        return 0
    if is_camera(args.inputs[0]):
        from mmgen_ext.inference.camera import translate_camera

        if len(args.inputs) > 1:
            raise ValueError(f"a camera is translated alone; got {len(args.inputs)} inputs")
        check_new(args.out, args.overwrite)
        frames = translate_camera(
            translator, int(args.inputs[0]), args.to, args.size, args.out, args.compare,
            args.stabilise, args.quality, args.codec,
        )  # fmt: skip
        print(f"{counted(frames, 'frame')} translated" + (f": {args.out}" if args.out else ""))
        return 0
    return translate_many(translator, args)


if __name__ == "__main__":
    cli.run(main)
