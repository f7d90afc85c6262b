"""A data set's folder appears when it is whole, or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..datasets.images import cache_dir, list_images
from ..fetch import locked
from ..files import part_of

FOLDERS = ("trainA", "trainB", "testA", "testB")


def counts_of(root: Path) -> dict[str, int]:
    """How many pictures stand in each of the folders that are there."""
    counts = {}
    for name in FOLDERS:
        with contextlib.suppress(FileNotFoundError):
            counts[name] = len(list_images(root / name))
    return counts


def is_prepared(root: Path) -> bool:
    """Whether a folder holds something to train on in both domains."""
    return {"trainA", "trainB"} <= set(counts_of(root))


def check_free(path: Path, overwrite: bool) -> None:
    """Raise a ValueError if something is there that may not be replaced."""
    taken = any(path.iterdir()) if path.is_dir() else path.exists()
    if taken and not overwrite:
        raise ValueError(f"{path} is there already; --overwrite replaces it")


@contextlib.contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Let one process at a time make the folder `path`."""
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]
    with locked(cache_dir() / f"prepare-{name}"):
        yield


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target` that takes its place on success.

    To be called by one process at a time; what killed ones left behind is removed.
    """
    target = target.resolve()  # It may be a link to another disk.
    old = part_of(target, "old")
    if old.exists() and not target.exists():
        os.replace(old, target)
    for rest in target.parent.glob(".*.part"):
        if rest.name.startswith(f".{target.name}.") and rest.is_dir():
            shutil.rmtree(rest, ignore_errors=True)
    part = part_of(target)
    try:
        part.mkdir(parents=True)
        yield part
        if target.exists():
            os.replace(target, old)
        os.replace(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
