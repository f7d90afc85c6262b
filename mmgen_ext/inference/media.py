"""What can be translated, and where the translations go."""

from __future__ import annotations

import glob
import mimetypes
from collections.abc import Sequence
from pathlib import Path

from ..datasets.images import IMAGE_SUFFIXES, list_images
from .picture_file import WRITABLE
from .video_info import is_video_name
from .video_writer import CONTAINERS


def is_video(path: Path) -> bool:
    """Whether a name says video; or sound, of which only the reader knows what it holds."""
    kind = mimetypes.guess_type(path.name)[0] or ""
    # A GIF is a picture unless the output says otherwise.
    return (is_video_name(path) and not _is_gif(path)) or kind.startswith("audio/")


def _is_gif(path: Path) -> bool:
    return path.suffix.lower() == ".gif"


def is_camera(name: str) -> bool:
    """Whether an input is a camera's number and no file."""
    return name.isdigit() and not Path(name).exists()


def plan(inputs: Sequence[str], out: Path) -> dict[Path, Path]:
    """Which file goes where: input to output, pictures and videos.

    A folder's tree is kept below `out`; formats that are not written become PNG or MP4.

    Raises:
        FileNotFoundError: If an input matches nothing.
        ValueError: If two would be written to one file, or one over its own input.
    """
    found = _find(inputs)
    as_file = out.suffix.lower() in (*WRITABLE, *CONTAINERS) and not out.is_dir()
    if as_file and len(found) > 1:
        raise ValueError(
            f"--out {out} is one file, but there are {len(found)} images; name a folder"
        )
    jobs: dict[Path, Path] = {}
    taken: dict[Path, Path] = {}
    for source, relative in found:
        target = out if as_file else out / _written_as(relative)
        if is_video(source) != is_video(target) and not _is_gif(source):
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
    return jobs


def _find(names: Sequence[str]) -> list[tuple[Path, Path]]:
    """Files of names, patterns and folders, each with the relative path that its output keeps."""
    found: dict[Path, Path] = {}
    for name in names:
        path = Path(name)
        if path.is_dir():
            found |= {file: file.relative_to(path) for file in _list_folder(path)}
        elif path.is_file():
            found[path] = Path(path.name)
        else:
            # `**` goes through folders; a pattern that the shell did not expand ends up here.
            matches = sorted(Path(match) for match in glob.glob(name, recursive=True))
            matches = [m for m in matches if m.suffix.lower() in IMAGE_SUFFIXES or is_video(m)]
            if not matches:
                raise FileNotFoundError(f"no image, video, folder or matching pattern: {name}")
            found |= {match: Path(match.name) for match in matches}
    return list(found.items())


def _list_folder(folder: Path) -> list[Path]:
    videos = sorted(
        path
        for path in folder.rglob("*")
        if is_video(path) and path.is_file() and not path.name.startswith(".")
    )
    try:
        return list_images(folder) + videos
    except FileNotFoundError:
        if videos:
            return videos
        raise


def _written_as(relative: Path) -> Path:
    if is_video(relative):
        keep = relative.suffix.lower() in CONTAINERS
        return relative if keep else relative.with_suffix(".mp4")
    keep = relative.suffix.lower() in WRITABLE
    return relative if keep else relative.with_suffix(".png")
