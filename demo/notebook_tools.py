"""What the notebooks share: command lines in a cell, and pictures under it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import warnings
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from IPython.display import Image, display

# A bar without ipywidgets is a bar still.
warnings.filterwarnings("ignore", "IProgress not found")

# mmgen_ext comes before anything that imports mmcv: it repairs that.
from mmgen_ext.inference.labels import text_lines
from mmgen_ext.inference.picture_file import read_picture
from mmgen_ext.pictures import as_three_channels, resize_image

Picture = np.ndarray | str | os.PathLike
GAP, TEXT = 8, 15  # in pixels
# Iterations of a training, and short side of the photographs: CI takes less of both.
ITERS = int(os.environ.get("MMGEN_EXT_NOTEBOOK_ITERS", 400))
SIDE = int(os.environ.get("MMGEN_EXT_NOTEBOOK_SIDE", 256))


def run(line: str, only: str = "") -> None:
    """Run a command line with this notebook's Python, and show what it prints while it does.

    Args:
        line: `python tools/NAME.py ...`, as in a terminal.
        only: Pattern of what is shown of a line; lines without it are left out.

    Raises:
        RuntimeError: If it fails, with the last lines.
    """
    # Jupyter on Windows would show the output of `!` and of a plain subprocess elsewhere.
    process = subprocess.Popen(
        [sys.executable, *shlex.split(line)[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"},
    )
    last: deque[str] = deque(maxlen=10)
    with process:
        try:
            for text in process.stdout:
                last.append(text)
                _print(text, only)
        except KeyboardInterrupt:
            # Elsewhere the interrupt reaches it too: a training saves its state and ends.
            if os.name == "nt":
                process.terminate()
            print(process.communicate()[0])
            raise
    if process.returncode:
        raise RuntimeError(f"{line}\nended with status {process.returncode}:\n{''.join(last)}")


def _print(text: str, only: str) -> None:
    """Print a line, or what matches `only` in it."""
    shown = "  ".join(match[0] for match in re.finditer(only, text)) if only else text.rstrip()
    if shown or not only:
        print(shown, flush=True)


def load(picture: Picture, height: int | None = None) -> np.ndarray:
    """A picture, or that of a file, as uint8 (H, W, 3), BGR; of a height, or its own for None."""
    if not isinstance(picture, np.ndarray):
        picture = read_picture(Path(picture)).pixels
    image = as_three_channels(picture)
    if height is None:
        return image
    width = max(1, round(image.shape[1] * height / image.shape[0]))
    return resize_image(image, height, width, "area" if height < image.shape[0] else "bicubic")


def show(
    columns: Mapping[str, Picture | Sequence[Picture]], height: int | None = None, width: int = 1000
) -> None:
    """Show pictures in columns under their names, as one JPEG.

    Args:
        columns: Name to a picture or several, from top to bottom: files, or uint8 (H, W, C), BGR.
        height: Of each picture in pixels; None for its own.
        width: That the whole has at most, in pixels.
    """
    drawn = []
    for name, pictures in columns.items():
        pictures = pictures if isinstance(pictures, (list, tuple)) else [pictures]
        images = [load(picture, height) for picture in pictures]
        column = max(i.shape[1] for i in images)
        cells = [text_lines(name, column, TEXT), *images] if name.strip() else images
        drawn.append(np.concatenate([_on_white(cell, column) for cell in cells]))
    rows = max(column.shape[0] for column in drawn)
    # Titles of several lines push their own pictures down: they stand at the bottom.
    sheet = np.concatenate([_above(column, rows) for column in drawn], axis=1)
    show_file(sheet, ", ".join(columns), width)


def show_file(picture: Picture, alt: str, width: int = 1000) -> None:
    """Show one picture as a JPEG, reduced to `width` pixels if it is wider.

    Args:
        picture: A file, or uint8 (H, W, C), BGR.
        alt: What is to be seen, for those who cannot see it.
        width: In pixels.
    """
    image = load(picture)
    if image.shape[1] > width:
        image = resize_image(image, round(image.shape[0] * width / image.shape[1]), width, "area")
    jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes()
    display(Image(jpeg, format="jpeg", alt=alt))


def _on_white(image: np.ndarray, width: int) -> np.ndarray:
    free = width - image.shape[1]
    return np.pad(image, ((0, GAP), (GAP, free + GAP), (0, 0)), constant_values=255)


def _above(column: np.ndarray, rows: int) -> np.ndarray:
    return np.pad(column, ((rows - column.shape[0], 0), (0, 0), (0, 0)), constant_values=255)
