"""One picture in many styles: each model in turn, and a labelled contact sheet of all."""

from __future__ import annotations

import filecmp
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..pictures import as_three_channels, resize_image
from .labels import text_lines
from .translator import Translator
from .zoo import find_weights

STYLE_SUFFIXES = (".pth", ".pt", ".safetensors", ".onnx")
_WHITE = dict(mode="constant", constant_values=255)
_TEXT = 18  # Height of the labels, in pixels.


def find_styles(paths: Iterable[str | os.PathLike]) -> list[Path]:
    """Trained models: files, names, and those of folders in the order people count in.

    Raises:
        FileNotFoundError: If there is no such file, folder or name, or a folder holds no model.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if path.is_dir():
            found |= dict.fromkeys(_models_in(path))
        else:
            find_weights(path)
            found[path] = None
    if not found:
        raise FileNotFoundError("no checkpoints were named; expected files or a folder")
    return list(found)


def _models_in(folder: Path) -> list[Path]:
    paths = [
        path
        for path in folder.iterdir()
        # macOS leaves "._name.pth" beside each file it copies.
        if path.suffix.lower() in STYLE_SUFFIXES and path.is_file() and path.name[0] != "."
    ]
    latest = folder / "latest.pth"
    if latest in paths and any(
        filecmp.cmp(latest, path, shallow=False) for path in paths if path.match("iter_*.pth")
    ):
        paths.remove(latest)
    if not paths:
        raise FileNotFoundError(f"no models in {folder} (looked for {' '.join(STYLE_SUFFIXES)})")
    return sorted(paths, key=_natural)


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """A key that puts iter_2 before iter_10."""
    parts = re.split(r"([0-9]+)", path.name.casefold())
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts]


def contact_sheet(
    checkpoints: Sequence[str | os.PathLike],
    image: np.ndarray,
    to: str | None = None,
    size: int | None = None,
    device: str = "auto",
    precision: str = "auto",
) -> tuple[np.ndarray, dict[Path, str]]:
    """Translate one picture with many models, of which one at a time is in memory.

    Args:
        checkpoints: Whatever the Translator reads with a config of None, as from `find_styles`.
        image: uint8 (H, W, 3) BGR, or (H, W, 1).
        to: Domain to make with each; None for each model's default.
        size: Short side at which to work; None for the picture's own.
        device: See Translator.
        precision: See Translator; .onnx files have their own.

    Returns:
        uint8 (H', W', 3) BGR as of `style_sheet`, and what failed: model to reason.

    Raises:
        ValueError: If all failed: with the reasons.
    """
    made: dict[Path, tuple[str, np.ndarray]] = {}
    failed: dict[Path, str] = {}
    for path in map(Path, checkpoints):
        try:
            made[path] = _translate(path, image, to, size, device, precision)
        except (ValueError, OSError, RuntimeError) as error:  # PyTorch's own: out of memory
            failed[path] = str(error)
    if not made:
        reasons = "".join(f"\n  {reason}" for reason in failed.values())
        raise ValueError(f"none of the models can be used:{reasons}")
    labels = _label({path: domain for path, (domain, _) in made.items()})
    return style_sheet(image, {labels[path]: result for path, (_, result) in made.items()}), failed


def _translate(
    path: Path, image: np.ndarray, to: str | None, size: int | None, device: str, precision: str
) -> tuple[str, np.ndarray]:
    """The domain that a model makes, and the picture in it."""
    precision = "auto" if path.suffix.lower() == ".onnx" else precision
    translator = Translator(None, path, device, precision)
    return to or translator.default_domain, translator(image, to, size)


def _label(domains: Mapping[Path, str]) -> dict[Path, str]:
    """Names that differ: the domain, with the file's where several make the same one."""
    candidates = [
        domains,
        {path: f"{domain} ({path.stem})" for path, domain in domains.items()},
        {path: f"{domain} ({path.name})" for path, domain in domains.items()},
        {path: f"{domain} ({path})" for path, domain in domains.items()},
    ]
    labels = {}
    for path in domains:
        names = [(names[path], Counter(names.values())) for names in candidates]
        labels[path] = next((name for name, counts in names if counts[name] == 1), str(path))
    return labels


def style_sheet(
    image: np.ndarray, styles: Mapping[str, np.ndarray], longest: int = 512, gap: int = 12
) -> np.ndarray:
    """A picture and its versions under their names, on a sheet that is nearly square.

    Args:
        image: The original, uint8 (H, W, C), BGR if C is 3; it comes first.
        styles: Name to version, uint8 (H, W, C).
        longest: Pixels that a cell's long side has at most; smaller pictures stay as they are.
        gap: Pixels between cells.

    Returns:
        uint8 (H', W', 3) BGR on white.
    """
    labels = ["original", *styles]
    cells = [_fit(cell, longest) for cell in (image, *styles.values())]
    # Narrow pictures leave room for a word.
    width = max(8 * _TEXT, *(cell.shape[1] for cell in cells))
    titles = [text_lines(label, width, _TEXT) for label in labels]
    head, height = (max(part.shape[0] for part in parts) for parts in (titles, cells))
    # Short labels stand on their picture, whatever the others need.
    framed = [
        np.concatenate([_place(t, gap + head, width, bottom=True), _place(c, height, width)])
        for t, c in zip(titles, cells, strict=True)
    ]
    framed = [np.pad(cell, ((0, 0), (gap, 0), (0, 0)), **_WHITE) for cell in framed]
    columns = _columns(len(framed), *framed[0].shape[:2])
    framed += [np.full_like(framed[0], 255)] * (-len(framed) % columns)
    rows = [np.concatenate(framed[i : i + columns], 1) for i in range(0, len(framed), columns)]
    return np.pad(np.concatenate(rows), ((0, gap), (0, gap), (0, 0)), **_WHITE)


def _place(image: np.ndarray, height: int, width: int, bottom: bool = False) -> np.ndarray:
    """An image at the top, or bottom, left of a white one of (height, width)."""
    free = height - image.shape[0]
    above = free if bottom else 0
    sides = ((above, free - above), (0, width - image.shape[1]), (0, 0))
    return np.pad(image, sides, **_WHITE)


def _fit(image: np.ndarray, longest: int) -> np.ndarray:
    """Three channels, and no side longer than `longest`."""
    image = as_three_channels(image)
    height, width = image.shape[:2]
    scale = min(1, longest / max(height, width))
    height, width = (max(1, round(side * scale)) for side in (height, width))
    return resize_image(np.ascontiguousarray(image), height, width, "area")


def _columns(count: int, height: int, width: int) -> int:
    """How many cells in a row bring `count` cells nearest to a square without empty places."""

    def fault(columns: int) -> float:
        sides = columns * width, -(-count // columns) * height
        return max(sides) / min(sides) + -count % columns / count

    return min(range(1, count + 1), key=fault)
