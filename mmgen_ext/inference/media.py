"""Pictures as sources and sinks: which files there are, and where their translations go."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from ..datasets.images import IMAGE_SUFFIXES, list_images

# Formats that are written as they are read; anything else becomes PNG.
_WRITABLE = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}


def find_inputs(names: Sequence[str]) -> list[tuple[Path, Path]]:
    """Pictures of files, globs and folders, each with the relative path that its output keeps.

    Raises:
        FileNotFoundError: If a name matches nothing.
    """
    found: dict[Path, Path] = {}
    for name in names:
        path = Path(name)
        if path.is_dir():
            found |= {file: file.relative_to(path) for file in list_images(path)}
        elif path.is_file():
            found[path] = Path(path.name)
        else:
            # `**` goes through folders; a pattern that the shell did not expand ends up here.
            matches = sorted(Path(match) for match in glob.glob(name, recursive=True))
            matches = [m for m in matches if m.suffix.lower() in IMAGE_SUFFIXES]
            if not matches:
                raise FileNotFoundError(f"no image, folder or matching pattern: {name}")
            found |= {match: Path(match.name) for match in matches}
    return list(found.items())


def output_path(out: Path, relative: Path, as_file: bool) -> Path:
    """Where a translation goes: `out` itself, or below it under the input's relative path."""
    if as_file:
        return out
    keep = relative.suffix.lower() in _WRITABLE
    return out / (relative if keep else relative.with_suffix(".png"))


def is_image_name(path: Path) -> bool:
    """Whether a path names a picture that can be written."""
    return path.suffix.lower() in _WRITABLE
