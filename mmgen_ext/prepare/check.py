"""What there is to say about a data set before anything is trained on it."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..datasets.images import IMAGE_SUFFIXES, list_images, scan_images
from ..datasets.known import how_to_get
from ..datasets.looks import same_looks
from ..words import meant

FOLDERS = tuple(phase + letter for phase in ("train", "test", "val") for letter in "AB")
TINY = 128  # pixels of the short side; training at 256 enlarges such a picture more than twice


@dataclass
class Folder:
    """The pictures of one folder.

    Attributes:
        name: trainA or the like.
        paths: All that are named like pictures.
        looks: What sound ones look like, by path; see looks.look_at.
        digests: Of their contents.
        broken: What is wrong with the others.
        size: Bytes of all.
        others: Files that are no pictures, by suffix.
    """

    name: str
    paths: list[Path]
    looks: dict[Path, dict]
    digests: dict[Path, str]
    broken: dict[Path, str]
    size: int
    others: collections.Counter

    def count(self, kind: str) -> int:
        """How many are 'gray' or 'tiny'."""
        if kind == "gray":
            return sum(look["gray"] for look in self.looks.values())
        return sum(min(look["size"]) < TINY for look in self.looks.values())


@dataclass
class Findings:
    """All of a data set.

    Attributes:
        root: Where it is.
        folders: By name, in the order in which they are shown.
        copies: Pairs (path, the one it equals) by folder, and by "trainA testA", "A B".
        alike: The same of pairs that only look the same; never across domains.
        paired: Whether there are two domains.
    """

    root: Path
    folders: dict[str, Folder]
    copies: dict[str, list[tuple[Path, Path]]] = field(default_factory=dict)
    alike: dict[str, list[tuple[Path, Path]]] = field(default_factory=dict)
    paired: bool = True


def look_through(path: Path) -> Findings:
    """Look at every picture of a data set, or of a single folder of pictures.

    Raises:
        FileNotFoundError: If there is no such folder, or no picture in it.
    """
    if not path.is_dir():
        hint = how_to_get(path)
        hint = f"; make it with: {hint}" if hint else meant(path)
        raise FileNotFoundError(f"no folder {path}{hint}")
    root = next((p for p in (path, path / path.name) if _sets_in(p)), None)
    if root is None:
        findings = Findings(path, {path.resolve().name: _read(path)}, paired=False)
        if not findings.folders[path.resolve().name].paths:
            list_images(path)  # Says what was looked for.
    else:
        findings = Findings(root, {name: _read(root / name) for name in _sets_in(root)})
    _find_copies(findings)
    return findings


def _sets_in(root: Path) -> list[str]:
    return [name for name in FOLDERS if (root / name).is_dir()]


def _read(folder: Path) -> Folder:
    others = collections.Counter(
        path.suffix.lower() or "without suffix"
        for path in folder.rglob("*")
        if path.suffix.lower() not in IMAGE_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )
    try:
        paths = list_images(folder)
    except FileNotFoundError:
        paths = []
    checks = dict(zip(paths, scan_images(paths, look=True), strict=True))
    sound = {path: check for path, check in checks.items() if not check["error"]}
    return Folder(
        folder.resolve().name,
        paths,
        {path: check["look"] for path, check in sound.items()},
        {path: check["digest"] for path, check in sound.items()},
        {path: check["error"] for path, check in checks.items() if check["error"]},
        sum(path.stat().st_size for path in paths),
        others,
    )


def _find_copies(findings: Findings) -> None:
    """Fill in copies and alike."""
    groups = (
        [[n for n in findings.folders if n.endswith(letter)] for letter in "AB"]
        if findings.paired
        else [list(findings.folders)]
    )
    for names in groups:
        folders = [findings.folders[name] for name in names]
        exact = [folder.digests for folder in folders]
        numbers = same_looks([look for folder in folders for look in folder.looks.values()])
        counter = iter(numbers.tolist())
        look = [{path: next(counter) for path in folder.looks} for folder in folders]
        for i, name in enumerate(names):
            findings.copies[name] = _inside(exact[i])
            known = {path for path, _ in findings.copies[name]}
            findings.alike[name] = [p for p in _inside(look[i]) if p[0] not in known]
            for j in range(i):
                key = f"{names[j]} {name}"
                findings.copies[key] = _across(exact[i], exact[j])
                known = {path for path, _ in findings.copies[key]}
                findings.alike[key] = [p for p in _across(look[i], look[j]) if p[0] not in known]
    if findings.paired:
        both = [
            {p: d for n in names for p, d in findings.folders[n].digests.items()}
            for names in groups
        ]
        findings.copies["A B"] = _across(both[1], both[0])


def _inside(marks: dict) -> list[tuple[Path, Path]]:
    """Pairs (path, an earlier one with the same mark)."""
    first: dict = {}
    return [(p, first[m]) for p, m in marks.items() if first.setdefault(m, p) != p]


def _across(marks: dict, others: dict) -> list[tuple[Path, Path]]:
    """Pairs (path, one of the others with the same mark)."""
    place = {mark: path for path, mark in reversed(others.items())}
    return [(path, place[mark]) for path, mark in marks.items() if mark in place]


def colours(folders: Sequence[Folder]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of L, a, b over all pictures, each counting the same.

    Returns:
        Two float arrays (3,), in CIELAB: L in [0, 100], a (green to red) and b (blue to yellow)
        about in [-100, 100].
    """
    moments = np.array([look["lab"] for folder in folders for look in folder.looks.values()])
    mean, square = moments.mean(axis=0).reshape(2, 3)
    return mean, np.sqrt(np.maximum(square - mean**2, 0))
