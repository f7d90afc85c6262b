"""What can be translated, and where the translations go."""

from __future__ import annotations

import collections
import dataclasses
import glob
import itertools
import mimetypes
from collections.abc import Sequence
from pathlib import Path

from ..datasets.images import IMAGE_SUFFIXES, list_images
from ..words import meant
from .picture_file import WRITABLE
from .video_info import VIDEO_SUFFIXES
from .video_writer import CONTAINERS

_GIF = ".gif"  # A picture, unless the output says otherwise.
_UNWRITABLE = {*IMAGE_SUFFIXES, *VIDEO_SUFFIXES, ".heic"} - {*WRITABLE, *CONTAINERS}


@dataclasses.dataclass
class Plan:
    """What is to be done.

    Attributes:
        jobs: Input to output, pictures and videos.
        notes: What is in the folders and will not be translated.
    """

    jobs: dict[Path, Path]
    notes: list[str]


def is_video(path: Path) -> bool:
    """Whether a name says video; or sound, of which only the reader knows what it holds."""
    return _says_video(path) or (mimetypes.guess_type(path.name)[0] or "").startswith("audio/")


def _says_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES and path.suffix.lower() != _GIF


def is_camera(name: str) -> bool:
    """Whether an input is a camera's number and no file."""
    return name.isdigit() and not Path(name).exists()


def plan(inputs: Sequence[str], out: Path) -> Plan:
    """Which file goes where.

    The tree of a folder or pattern is kept below `out`; formats that are not written become PNG or
    MP4. What lies in `out` already is no input.

    Raises:
        FileNotFoundError: If an input matches nothing.
        ValueError: If two would be written to one file, or one over its own input.
    """
    found, notes = _find(inputs, out)
    as_file = out.suffix.lower() in (*WRITABLE, *CONTAINERS) and not out.is_dir()
    if as_file and len(found) > 1:
        raise ValueError(
            f"--out {out} is one file, but there are {len(found)} images; name a folder"
        )
    if out.suffix.lower() in _UNWRITABLE and not out.is_dir():
        known = " ".join((*WRITABLE, *CONTAINERS))
        raise ValueError(f"--out {out}: {out.suffix} is not written here; choose of {known}")
    kept = {relative for _, relative in found}
    jobs: dict[Path, Path] = {}
    taken: dict[Path, Path] = {}
    for source, relative in found:
        target = out if as_file else out / _written_as(relative, kept)
        if is_video(source) != is_video(target) and source.suffix.lower() != _GIF:
            raise ValueError(f"--out {target} cannot hold {source}: one is a video, one a picture")
        if target in taken:
            raise ValueError(
                f"{taken[target]} and {source} would both be written to {target}; "
                f"translate them into different folders"
            )
        if target.resolve() == source.resolve():
            raise ValueError(f"--out would overwrite the input {source}; name another place")
        taken[target] = source
        jobs[source] = target
    return Plan(jobs, notes)


def _find(names: Sequence[str], out: Path) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Files, each with the relative path that its output keeps, and notes."""
    found: dict[Path, Path] = {}
    notes: list[str] = []
    made = out.resolve()
    for name in names:
        path = Path(name)
        if path.is_file():
            found[path] = Path(path.name)
            continue
        if path.is_dir():
            root, inside = path, _list_folder(path, notes)
        else:
            root = _fixed_part(path)
            # `**` goes through folders; a pattern that the shell did not expand ends up here.
            inside = sorted(Path(match) for match in glob.glob(name, recursive=True))
            inside = [m for m in inside if m.suffix.lower() in IMAGE_SUFFIXES or is_video(m)]
        if not inside:
            raise FileNotFoundError(
                f"no image, video, folder or matching pattern: {name}{meant(path)}"
            )
        if path.resolve() != made:  # Into itself is an error of its own.
            inside = [file for file in inside if made not in file.resolve().parents]
        found |= {file: file.relative_to(root) for file in inside}
    return list(found.items()), notes


def _fixed_part(pattern: Path) -> Path:
    """The folder that all matches of a pattern share by its own words."""
    parts = itertools.takewhile(lambda part: not glob.has_magic(part), pattern.parts[:-1])
    return Path(*parts)


def _list_folder(folder: Path, notes: list[str]) -> list[Path]:
    """Pictures and videos below a folder; a note counts what else is there."""
    others = collections.Counter()
    videos = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or any(p.startswith(".") for p in path.relative_to(folder).parts):
            continue
        if _says_video(path):
            videos.append(path)
        elif path.suffix.lower() not in IMAGE_SUFFIXES:
            others[path.suffix.lower() or "without suffix"] += 1
    if others:
        counts = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
        notes.append(f"left out of {folder}, as no images or videos: {counts}")
    try:
        return list_images(folder) + videos
    except FileNotFoundError:
        if videos:
            return videos
        raise


def _written_as(relative: Path, kept: set[Path]) -> Path:
    known, other = (CONTAINERS, ".mp4") if is_video(relative) else (WRITABLE, ".png")
    if relative.suffix.lower() in known:
        return relative
    # Beside a.png, a.gif becomes a.gif.png.
    short = relative.with_suffix(other)
    return relative.with_name(relative.name + other) if short in kept else short
