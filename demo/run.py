"""Train a small CycleGAN on photographs and unpaired drawings of them, and see what it learned.

The drawings are made by a known filter, so a held-out photograph has a true drawing, and back.
Writes data/demo and work_dirs/demo/before_after.png. Minutes on two CPU cores, no network.

Example:
    python demo/run.py
"""

import logging
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mmgen_ext import cli  # isort: skip  (first: it repairs what the others import)

import numpy as np
import torch
from mmcv.utils import get_logger

from mmgen_ext.config import load_config
from mmgen_ext.datasets.demo import make_demo_dataset
from mmgen_ext.datasets.images import list_images, read_image
from mmgen_ext.inference.translator import Translator
from mmgen_ext.pictures import labelled_grid, resize_image, write_image
from mmgen_ext.training.signals import Interrupted
from mmgen_ext.training.train import train

CONFIGS = ROOT / "configs" / "cyclegan"
CONFIG = CONFIGS / "cyclegan_lsgan_resnet-resize_b2x1_400_64x64_demo.py"
DATA, WORK = Path("data", "demo"), Path("work_dirs", "demo")
SHOWN = ("astronaut_0", "chelsea_1", "coffee_0", "motorcycle_left_1")
NEEDED = 1.5  # dB of PSNR that a translation must gain

NEXT = """
Your own pictures, two folders of them (with a GPU leave --small out):
  python tools/prepare_data.py own FOLDER_A FOLDER_B data/mine --small
  python tools/train.py configs/cyclegan/mine.py
  python tools/translate.py auto work_dirs/mine/latest.pth PICTURES
"""


def psnr(image: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 pictures of one shape."""
    error = np.square(image.astype(np.float64) - truth).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-10)))


def quiet_log() -> None:
    """Show only the losses and warnings on the terminal; the log file has everything."""
    for handler in get_logger("mmgen").handlers:
        handler.addFilter(
            lambda record: record.levelno > logging.INFO or record.getMessage().startswith("Iter [")
        )


def read_folder(name: str) -> dict[str, np.ndarray]:
    """Pictures of a folder of the data set by name: uint8 (H, W, 3), BGR."""
    return {path.stem: read_image(path) for path in list_images(DATA / name)}


def translate_test_pieces() -> dict[str, tuple[dict, dict, dict]]:
    """(held-out pieces, their translations, the truth) by target domain, each by file name."""
    translator = Translator(None, WORK / "latest.pth")
    photos, drawings = read_folder("testA"), read_folder("testB")
    pieces = {}
    for to, source, truth in (("drawing", photos, drawings), ("photo", drawings, photos)):
        outputs = translator.batch(list(source.values()), to)
        pieces[to] = source, dict(zip(source, outputs, strict=True)), truth
    return pieces


def before_after(pieces: dict[str, tuple[dict, dict, dict]]) -> np.ndarray:
    """A sheet for people: held-out piece, translation and truth in both directions, enlarged."""
    columns = {}
    for to, group in pieces.items():
        source = "photo" if to == "drawing" else "drawing"
        for title, images in zip(
            (f"{source}: input", f"translated to {to}", f"{to}: the truth"), group, strict=True
        ):
            columns[title] = [
                resize_image(i, 2 * i.shape[0], 2 * i.shape[1], "bicubic")
                for i in (images[name] for name in SHOWN)
            ]
    return labelled_grid(columns)


def report(pieces: dict[str, tuple[dict, dict, dict]]) -> float:
    """Print the PSNR to the truth of both directions, and return the smaller gain in dB."""
    gains = []
    print("\nPSNR to the truth, held-out pieces   untranslated   translated")
    for to, (source, output, truth) in pieces.items():
        before, after = (
            np.mean([psnr(images[name], truth[name]) for name in truth])
            for images in (source, output)
        )
        gains.append(after - before)
        print(f"{'to ' + to:<34} {before:11.2f} dB {after:9.2f} dB")
    return min(gains)


def conclude(gain: float) -> int:
    """Say whether the demo has worked and what comes next, and return the exit status."""
    if gain < NEEDED:
        print(
            f"error: the demo failed: translating gained {gain:.2f} dB, expected at least "
            f"{NEEDED}; try a larger --iters, or another --seed",
            file=sys.stderr,
        )
        return 1
    print(NEXT, end="")
    return 0


def main() -> int:
    """Make the data, train, translate, and say how well."""
    parser = cli.new_parser(__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of data, weights, order (default: 0)")
    parser.add_argument("--iters", type=int, help="train this long (default: the config's)")
    args = parser.parse_args()
    started = time.monotonic()
    # So small a network gains a third from a second thread on an idle machine, and loses far more
    # to it on a busy one.
    torch.set_num_threads(1)
    print(f"[1/3] pieces of photographs and of drawings: {DATA}", flush=True)
    make_demo_dataset(DATA, args.seed)
    cfg = load_config(CONFIG, None if args.iters is None else dict(total_iters=args.iters))
    print(f"[2/3] training, {cfg.total_iters} iterations: {WORK}", flush=True)
    quiet_log()
    try:
        train(cfg, WORK, seed=args.seed)
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        return stop.exit_code
    print("[3/3] translating what it has never seen", flush=True)
    pieces = translate_test_pieces()
    picture = WORK / "before_after.png"
    write_image(picture, before_after(pieces))
    gain = report(pieces)
    print(f"\nLook at {picture} ({time.monotonic() - started:.0f} s).", flush=True)
    return conclude(gain)


if __name__ == "__main__":
    cli.run(main)
