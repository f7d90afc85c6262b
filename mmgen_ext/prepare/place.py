"""A data set's folder appears when it is whole, or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..datasets.images import cache_dir, list_images
from ..fetch import locked
from ..files import part_of

FOLDERS = ("trainA", "trainB", "testA", "testB")
_OF_A_SET = {*FOLDERS, "valA", "valB", "Thumbs.db", "desktop.ini"}


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
    """Raise a ValueError if something is there that may not be replaced.

    A folder never is if it holds anything but a data set: it may be the one around all of them.
    """
    names = sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []
    if not overwrite and (names or path.is_file()):
        raise ValueError(f"{path} is there already; --overwrite replaces it")
    others = [name for name in names if name not in _OF_A_SET and name[0] != "."]
    if others:
        shown = ", ".join(others[:5]) + (", ..." if len(others) > 5 else "")
        raise ValueError(
            f"{path} holds more than a data set: {shown}; --overwrite would delete that, so move "
            f"it away or choose another folder"
        )


@contextlib.contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Let one process at a time make the folder `path`; what killed ones left is tidied up."""
    target = path.resolve()
    name = hashlib.sha256(os.fsencode(target)).hexdigest()[:16]
    with locked(cache_dir() / f"prepare-{name}", path):
        _put_back(target)
        rests = re.compile(rf"\.{re.escape(target.name)}\.(\d+|old)\.part")
        for rest in target.parent.glob(".*.part"):
            if rests.fullmatch(rest.name) and rest.is_dir():
                shutil.rmtree(rest, ignore_errors=True)
        yield


def _put_back(target: Path) -> None:
    """Undo the first half of a replacement that has failed in between."""
    old = part_of(target, "old")
    if old.exists() and not target.exists():
        os.replace(old, target)


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target` that takes its place on success; within only_one."""
    target = target.resolve()  # It may be a link to another disk.
    part, old = part_of(target), part_of(target, "old")
    try:
        part.mkdir(parents=True)
        yield part
        if target.exists():
            os.replace(target, old)
        os.replace(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        _put_back(target)
    shutil.rmtree(old, ignore_errors=True)
