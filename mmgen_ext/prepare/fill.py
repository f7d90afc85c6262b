"""Pictures into the folders of a data set, each under a path of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..datasets.images import read_image
from ..pictures import resize_image, write_image
from ..progress import in_threads
from ..words import counted
from .sources import CONVERTED, HEIC, Domain

_RESIZED_AS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_LOSSY = (*HEIC, ".avif", ".jfif", ".jp2", ".j2k", ".jpe")


def fill(
    part: Path, letter: str, domain: Domain, test: set[int], size: int | None, link: bool
) -> list[str]:
    """Put a domain's pictures into their folders.

    Args:
        part: Folder of the data set.
        letter: A or B.
        domain: The pictures.
        test: Numbers of those for testing.
        size: Short side that they get; None for their own.
        link: Whether files that stay as they are become hard links.

    Returns:
        What the user should know.
    """
    names = _target_names([p.relative_to(domain.root) for p in domain.paths], bool(size))
    copied = []

    def put(number: int) -> None:
        source, folder = domain.paths[number], ("test" if number in test else "train") + letter
        target = part / folder / names[number]
        target.parent.mkdir(parents=True, exist_ok=True)
        if size or source.suffix.lower() in CONVERTED:
            write_image(target, _resized(source, size))
        elif not link or not _link(source, target):
            shutil.copy2(source, target)
            copied.append(source)

    for _ in in_threads(put, range(len(domain.paths)), f"writing {letter}"):
        pass
    if link and copied:
        return [
            f"copied {counted(len(copied), 'picture')} of {letter}: no hard links to {part.parent}"
        ]
    return []


def _target_names(paths: Sequence[Path], resized: bool) -> list[Path]:
    """Each file's path in the data set: its own, with another suffix where it is converted."""
    names: dict[Path, Path] = {}
    taken: set[str] = set()
    # Files that keep their names come first: beside a.jpg, a.heic becomes a.heic.jpg.
    for path in sorted(paths, key=lambda path: _new_suffix(path, resized) is not None):
        suffix = _new_suffix(path, resized)
        name = path.with_suffix(suffix) if suffix else path
        number = 1
        while suffix and str(name).casefold() in taken:
            name = path.with_name(f"{path.name}{number if number > 1 else ''}{suffix}")
            number += 1
        taken.add(str(name).casefold())
        names[path] = name
    return [names[path] for path in paths]


def _new_suffix(path: Path, resized: bool) -> str | None:
    suffix = path.suffix.lower()
    if suffix not in CONVERTED and (not resized or suffix in _RESIZED_AS):
        return None
    return ".jpg" if suffix in _LOSSY else ".png"


def _resized(path: Path, size: int | None) -> np.ndarray:
    """A picture as training would see it, its short side `size`."""
    image = read_image(path)
    if size is None:
        return image
    scale = size / min(image.shape[:2])
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return resize_image(image, height, width, "area" if scale < 1 else "bicubic")


def _link(source: Path, target: Path) -> bool:
    try:
        os.link(os.path.realpath(source), target)  # A link to a link might lead nowhere.
    except OSError:
        return False
    return True
