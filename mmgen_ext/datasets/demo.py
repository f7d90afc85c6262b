"""The demo's data set: unpaired pieces of four photographs and of the same ones, repainted."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import skimage

from ..pictures import resize_image, write_image
from .images import read_image

# Photographs inside scikit-image's wheel, all of them warm in colour, and where the strip that is
# held out of training begins, as a fraction of the width.
PHOTOS = {
    "astronaut.png": 0.30,
    "chelsea.png": 0.30,
    "coffee.png": 0.42,
    "motorcycle_left.png": 0.40,
}
SHORT_SIDE = 384  # of a photograph, in pixels
TEST_SIDE = 128  # of a held-out piece, and width of the strip
TRAIN_SIDE = 80  # of a training piece
NUM_PIECES = 60  # training pieces of a photograph in each domain
# Wider than the filter reaches, so that no training piece knows anything of the strip.
MARGIN = 20


def repaint(image: np.ndarray) -> np.ndarray:
    """Repaint a picture as a cool-coloured drawing: the filter that the demo has to discover.

    1. paint: S = the bilateral filter four times (diameter 7, 35 levels, 4 pixels);
    2. cool:  (b, g, r) of S becomes (max(b, r), g, min(b, r));
    3. lift:  v becomes 255 (v / 255)^0.8;
    4. ink:   times 1 - clip((|grad L| - 4) / 16, 0, 1) / 2, where L is S in gray, blurred by 1
       pixel, and grad L is in levels per pixel.

    What is cool already keeps its colours, so the identity loss agrees with the filter.

    Args:
        image: uint8 (H, W, 3), BGR.

    Returns:
        uint8 (H, W, 3), BGR.
    """
    smooth = np.ascontiguousarray(image)
    for _ in range(4):
        smooth = cv2.bilateralFilter(smooth, 7, 35, 4)
    blue, green, red = np.moveaxis(smooth.astype(np.float32) / 255, 2, 0)
    cool = np.stack([np.maximum(blue, red), green, np.minimum(blue, red)], axis=2)
    gray = cv2.cvtColor(smooth, cv2.COLOR_BGR2GRAY).astype(np.float32)
    gray = cv2.GaussianBlur(gray, (0, 0), 1.0)
    # Sobel's kernel sums to 8 times the slope.
    slope = np.hypot(*(cv2.Sobel(gray, cv2.CV_32F, *d, scale=1 / 8) for d in ((1, 0), (0, 1))))
    ink = np.clip((slope - 4) / 16, 0, 1) / 2
    return np.rint(255 * cool**0.8 * (1 - ink)[..., None]).astype(np.uint8)


def read_photo(name: str) -> np.ndarray:
    """A photograph of scikit-image's wheel as uint8 (H, W, 3), BGR, min(H, W) = SHORT_SIDE."""
    image = read_image(Path(skimage.__file__).parent / "data" / name)
    scale = SHORT_SIDE / min(image.shape[:2])
    height, width = (round(side * scale) for side in image.shape[:2])
    return resize_image(image, height, width, "area" if scale < 1 else "bicubic")


def train_corners(
    height: int, width: int, strip: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """2 * NUM_PIECES different corners (y, x) of training pieces that keep clear of the strip.

    Args:
        height: Of the photograph.
        width: Of the photograph.
        strip: Left edge of the strip.
        rng: Source of the random numbers.
    """
    lefts = [
        x
        for x in range(width - TRAIN_SIDE + 1)
        if x + TRAIN_SIDE + MARGIN <= strip or x >= strip + TEST_SIDE + MARGIN
    ]
    tops = height - TRAIN_SIDE + 1
    chosen = rng.choice(tops * len(lefts), 2 * NUM_PIECES, replace=False)
    return [(int(i) // len(lefts), lefts[int(i) % len(lefts)]) for i in chosen]


def make_demo_dataset(root: str | os.PathLike, seed: int = 0) -> None:
    """Write trainA, trainB, testA and testB, A photographs and B repainted ones.

    No training piece of A lies where one of B does. The test pieces come in pairs: a file of testA
    and the one of the same name in testB are the truth of each other's translation.

    Args:
        root: Folder to write to; files of an earlier data set are replaced.
        seed: Of where the training pieces lie.
    """
    root = Path(root)
    for folder in ("trainA", "trainB", "testA", "testB"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for name, place in PHOTOS.items():
        photo, stem = read_photo(name), Path(name).stem
        painted = repaint(photo)
        height, width = photo.shape[:2]
        strip = round(place * width)
        for i, (y, x) in enumerate(train_corners(height, width, strip, rng)):
            letter, picture = ("A", photo) if i < NUM_PIECES else ("B", painted)
            piece = picture[y : y + TRAIN_SIDE, x : x + TRAIN_SIDE]
            write_image(root / f"train{letter}" / f"{stem}_{i % NUM_PIECES:02}.png", piece)
        for i, y in enumerate(range(0, height - TEST_SIDE + 1, TEST_SIDE)):
            for letter, picture in (("A", photo), ("B", painted)):
                piece = picture[y : y + TEST_SIDE, strip : strip + TEST_SIDE]
                write_image(root / f"test{letter}" / f"{stem}_{i}.png", piece)
