"""Pictures of one kind, wherever they come from: a folder or a video."""

from __future__ import annotations

import collections
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..datasets.images import IMAGE_SUFFIXES, scan_images
from ..datasets.looks import same_looks
from ..inference.video_info import VIDEO_SUFFIXES
from .frames import extract_frames

HEIC = (".heic", ".heif", ".hif")
# Read here and written as another format, as training does not look for these.
CONVERTED = (*HEIC, ".jp2", ".j2k", ".jpe", ".dib", ".qoi", ".psd")


@dataclass
class Domain:
    """The pictures of one kind.

    Attributes:
        root: Folder that they lie in.
        paths: The sound ones.
        groups: int (N,), the same number for those that look the same.
        broken: The others, with what is wrong.
        notes: What the user should know.
    """

    root: Path
    paths: list[Path]
    groups: np.ndarray
    broken: list[tuple[Path, str]]
    notes: list[str]


def read_domain(path: Path, scratch: Path, every: int) -> Domain:
    """Find the pictures of a folder or video, and look at all of them.

    Args:
        path: Folder or video.
        scratch: Where a video's frames are written; does not exist yet.
        every: Of a video, every n-th frame.

    Raises:
        FileNotFoundError: If there are none.
        ValueError: If it is neither, or cannot be read for want of a library.
    """
    broken: list[tuple[Path, str]] = []
    notes: list[str] = []
    if path.is_dir():
        root, paths = path, _find(path, notes)
        checks = dict(zip(paths, scan_images(paths, look=True), strict=True))
        found = {path: check["look"] for path, check in checks.items() if not check["error"]}
        broken = [(path, check["error"]) for path, check in checks.items() if check["error"]]
    elif path.suffix.lower() in VIDEO_SUFFIXES:
        scratch.mkdir(parents=True)
        found, note = extract_frames(path, scratch, every)
        root, notes = scratch, [note]
    else:
        raise ValueError(f"{path} is neither a folder nor a video")
    return Domain(root, list(found), same_looks(list(found.values())), broken, notes)


def _find(folder: Path, notes: list[str]) -> list[Path]:
    """Pictures below a folder, also of formats that are converted; a note counts the rest."""
    found, others = [], collections.Counter()
    for path in sorted(folder.rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.is_file():
            if path.suffix.lower() in (*IMAGE_SUFFIXES, *CONVERTED):
                found.append(path)
            else:
                others[path.suffix.lower() or "without suffix"] += 1
    if others:
        counts = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
        notes.append(f"left in {folder}, as no pictures: {counts}")
    if not found:
        hint = "; name a video itself, not its folder" if set(others) & {*VIDEO_SUFFIXES} else ""
        looked = " ".join((*IMAGE_SUFFIXES, *CONVERTED))
        raise FileNotFoundError(f"no images in {folder} (looked for {looked}){hint}")
    if any(path.suffix.lower() in HEIC for path in found):
        _load_heic()
    return found


def _load_heic() -> None:
    try:
        import pillow_heif
    except ImportError:
        raise ValueError(
            'HEIC pictures need pillow-heif; install it with: pip install -e ".[heic]"'
        ) from None
    pillow_heif.register_heif_opener()
