"""Numbers of things, and files that were meant, in sentences."""

from __future__ import annotations

import difflib
import os
from pathlib import Path


def counted(number: int, noun: str) -> str:
    """A number and its noun, in the plural unless it is 1: '1 process', '2 processes'."""
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number} {noun}{ending}"


def meant(path: str | os.PathLike, pattern: str = "*", likeness: float = 0.6) -> str:
    """The end of a sentence about a path that is not there: the name beside it that is most like.

    Args:
        path: File or folder.
        pattern: Of the names that may have been meant.
        likeness: 0 to 1; names less like it are not mentioned.
    """
    path = Path(path)
    names = [beside.name for beside in path.parent.glob(pattern) if beside != path]
    cut = [name for name in names if name.startswith(f"{path.name} ")]
    if cut:
        return f'; a path with blanks needs quotation marks: "{path.with_name(min(cut))}"'
    near = difflib.get_close_matches(path.name, names, 1, likeness)
    if not near:
        return ""
    close = str(path.with_name(near[0]))
    return f'; did you mean "{close}"?' if " " in close else f"; did you mean {close}?"
