"""A data set of one's own: two folders or videos become trainA, trainB, testA and testB."""

from __future__ import annotations

import collections
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..datasets.images import (
    IMAGE_SUFFIXES,
    in_threads,
    list_broken,
    read_image,
    scan_images,
)
from ..datasets.looks import same_looks
from ..inference.video_info import VIDEO_SUFFIXES
from ..pictures import resize_image, write_image
from .frames import extract_frames
from .get import Made
from .leaf_config import check_names, domain_names, write_leaf
from .place import check_free, counts_of, new_folder, only_one

HEIC = (".heic", ".heif", ".hif")
# Read here and written as another format, as training does not look for these.
_CONVERTED = (*HEIC, ".jp2", ".j2k", ".jpe", ".dib", ".qoi", ".psd")
_RESIZED_AS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_LOSSY = (*HEIC, ".avif", ".jfif", ".jp2", ".j2k", ".jpe")


@dataclass(frozen=True)
class Choices:
    """How a data set is made of pictures.

    Attributes:
        test: Part of each domain for testing, below 1; or a number of pictures.
        seed: Of which they are.
        size: Short side that the pictures get; None for their own.
        every: Of a video, every n-th frame.
        link: Whether files become hard links where they stay as they are.
        skip_broken: Whether broken files are left out.
        overwrite: Whether what is there is replaced.
    """

    test: float = 0.1
    seed: int = 0
    size: int | None = None
    every: int = 10
    link: bool = False
    skip_broken: bool = False
    overwrite: bool = False


@dataclass
class _Domain:
    """Sound pictures of one domain, where they lie, and which look the same."""

    root: Path
    paths: list[Path]
    groups: np.ndarray
    notes: list[str]


def make_own(
    sources: Sequence[str | os.PathLike],
    out: Path,
    config: Path,
    names: Sequence[str] | None = None,
    choices: Choices = Choices(),
) -> Made:
    """Make a data set of two folders or videos, and a config that trains on it.

    Args:
        sources: Folder or video of A and of B.
        out: Folder to make.
        config: File to write.
        names: Of the domains; None for those of the sources.
        choices: How.

    Raises:
        ValueError: If something is there already, is broken, or is too little.
        FileNotFoundError: If a source does not exist or holds no pictures.
    """
    paths = [Path(source) for source in sources]
    names = check_names(names) if names else domain_names(paths)
    _check_apart(paths, out)
    check_free(config, choices.overwrite)
    with only_one(out):
        check_free(out, choices.overwrite)
        with new_folder(out) as part:
            scratch = part / ".frames"
            domains = [
                _read_domain(path, scratch / letter, choices)
                for path, letter in zip(paths, "AB", strict=True)
            ]
            notes = [note for domain in domains for note in domain.notes]
            rng = np.random.default_rng(choices.seed)
            for domain, letter in zip(domains, "AB", strict=True):
                test = split(domain.groups, choices.test, rng)
                if not test:
                    notes.append(f"no test pictures of {letter}: all of them look the same")
                notes += _fill(part, letter, domain, test, choices)
            shutil.rmtree(scratch, ignore_errors=True)
    write_leaf(config, names, out)
    return Made(out, counts_of(out), notes)


def _check_apart(sources: Sequence[Path], out: Path) -> None:
    target = out.resolve()
    for source in (path.resolve() for path in sources):
        if not source.exists():
            raise FileNotFoundError(f"no folder or video {source}")
        if target == source or target in source.parents or source in target.parents:
            raise ValueError(f"OUT {out} and {source} lie one in the other; choose another folder")
    if sources[0].resolve() == sources[1].resolve():
        raise ValueError(f"A and B are both {sources[0]}; expected two kinds of pictures")


def _read_domain(path: Path, scratch: Path, choices: Choices) -> _Domain:
    """Find the pictures of a folder or video, and look at all of them."""
    if path.is_dir():
        found, notes = _look_through(path, choices.skip_broken)
        root = path
    elif path.suffix.lower() in VIDEO_SUFFIXES:
        scratch.mkdir(parents=True)
        found, note = extract_frames(path, scratch, choices.every)
        root, notes = scratch, [note]
    else:
        raise ValueError(f"{path} is neither a folder nor a video")
    if len(found) < 2:
        told = f" ({'; '.join(notes)})" if notes else ""
        raise ValueError(f"{path} gives {len(found)} usable pictures{told}; expected at least 2")
    return _Domain(root, list(found), same_looks(list(found.values())), notes)


def _look_through(folder: Path, skip_broken: bool) -> tuple[dict[Path, dict], list[str]]:
    """The sound pictures below a folder with their looks, and notes on the rest."""
    notes: list[str] = []
    paths = _find(folder, notes)
    checks = dict(zip(paths, scan_images(paths, look=True), strict=True))
    broken = [(path, check["error"]) for path, check in checks.items() if check["error"]]
    if broken and not skip_broken:
        raise ValueError(
            f"{list_broken(broken)}\nRemove or replace them, or leave them out with --skip-broken"
        )
    notes += [f"left out {list_broken(broken)}"] if broken else []
    return {p: check["look"] for p, check in checks.items() if not check["error"]}, notes


def _find(folder: Path, notes: list[str]) -> list[Path]:
    """Pictures below a folder, also of formats that are converted; a note counts the rest."""
    found, others = [], collections.Counter()
    for path in sorted(folder.rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.is_file():
            if path.suffix.lower() in (*IMAGE_SUFFIXES, *_CONVERTED):
                found.append(path)
            else:
                others[path.suffix.lower() or "without suffix"] += 1
    if others:
        counts = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
        notes.append(f"left in {folder}, as no pictures: {counts}")
    if not found:
        hint = "; name a video itself, not its folder" if set(others) & {*VIDEO_SUFFIXES} else ""
        looked = " ".join((*IMAGE_SUFFIXES, *_CONVERTED))
        raise FileNotFoundError(f"no images in {folder} (looked for {looked}){hint}")
    if any(path.suffix.lower() in HEIC for path in found):
        _load_heic()
    return found


def _load_heic() -> None:
    try:
        import pillow_heif
    except ImportError:
        raise ValueError(
            "HEIC pictures need pillow-heif; install it with: pip install -e .[heic]"
        ) from None
    pillow_heif.register_heif_opener()


def split(groups: Sequence[int], test: float, rng: np.random.Generator) -> set[int]:
    """Choose test pictures so that those that look the same stay on one side.

    Args:
        groups: For each picture the number of those that look like it.
        test: Part of them below 1, or how many.
        rng: Source of the random numbers.

    Returns:
        Numbers of the test pictures: about as many as were asked for, at least one, and never all;
        none if all look the same.

    Raises:
        ValueError: If none would be left to train on.
    """
    count = len(groups)
    wanted = max(1, round(test * count)) if test < 1 else int(test)
    if wanted >= count:
        raise ValueError(f"--test {wanted} of {count} pictures would leave none to train on")
    members = collections.defaultdict(list)
    for number, group in enumerate(groups):
        members[group].append(number)
    if len(members) == 1:
        return set()
    shuffled = [list(members.values())[i] for i in rng.permutation(len(members))]
    chosen: set[int] = set()
    for group in shuffled:
        if len(chosen) + len(group) <= wanted:
            chosen.update(group)
    return chosen or set(min(shuffled, key=len))


def _fill(part: Path, letter: str, domain: _Domain, test: set[int], choices: Choices) -> list[str]:
    """Put a domain's pictures into their folders, each under its own path in the source."""
    taken = {path.relative_to(domain.root) for path in domain.paths}
    copied = []

    def put(number: int) -> None:
        source = domain.paths[number]
        folder = part / (("test" if number in test else "train") + letter)
        relative = source.relative_to(domain.root)
        target = folder / _written_as(relative, taken, choices.size is not None)
        target.parent.mkdir(parents=True, exist_ok=True)
        if choices.size or source.suffix.lower() in _CONVERTED:
            write_image(target, _resized(source, choices.size))
        elif not choices.link or not _link(source, target):
            shutil.copy2(source, target)
            copied.append(source)

    for _ in in_threads(put, range(len(domain.paths)), f"writing {letter}"):
        pass
    if choices.link and copied:
        return [f"{len(copied)} pictures of {letter} were copied: no hard links to {part.parent}"]
    return []


def _written_as(relative: Path, taken: set[Path], resized: bool) -> Path:
    suffix = relative.suffix.lower()
    if suffix not in _CONVERTED and (not resized or suffix in _RESIZED_AS):
        return relative
    new = relative.with_suffix(".jpg" if suffix in _LOSSY else ".png")
    # Beside a.jpg, a.heic becomes a.heic.jpg.
    return new if new not in taken else relative.with_name(relative.name + new.suffix)


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
        os.link(source, target)
    except OSError:
        return False
    return True
