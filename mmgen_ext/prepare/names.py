"""Names inside archives: which are safe everywhere, and where in a data set they belong."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath

from ..datasets.images import IMAGE_SUFFIXES
from ..files import tool

_RESERVED = {"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in "123456789")}
_PHASES = {"train": "train", "training": "train", "test": "test", "testing": "test"}
_PHASES |= dict.fromkeys(("val", "valid", "validation"), "val")
_PHASE = "|".join(sorted(_PHASES, key=len, reverse=True))
# trainA, train_A, train/A or A/train.
_FOLDERS = re.compile(rf"({_PHASE})[ _-]?([ab])|({_PHASE})/([ab])|([ab])/({_PHASE})", re.IGNORECASE)
NEEDED = ("trainA", "trainB")
OWN_HINT = f"two folders of pictures become a set by: {tool('prepare_data')} own A_DIR B_DIR OUT"


def safe_path(name: str) -> PurePosixPath:
    """A member's name as a path below the folder that it is unpacked to, on any system.

    Raises:
        ValueError: If it leads elsewhere, or stands for something else on Windows.
    """
    if "\0" in name or any(ord(character) < 32 for character in name):
        raise ValueError(f"the name {name!r} holds control characters")
    # Some programs of Windows write backslashes; there they lead elsewhere too.
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    if name[:1] in ("/", "\\") or ".." in parts or ":" in name:
        raise ValueError(f"the name {name!r} leads out of the folder")
    for part in parts:
        if part.split(".")[0].strip().lower() in _RESERVED or part != part.rstrip(". "):
            raise ValueError(f"the name {name!r} means something else on Windows")
    # What Windows does not take in a name, as its own unpackers write it.
    return PurePosixPath(*(re.sub(r'[<>"|?*]', "_", part) for part in parts))


def same_file(path: PurePosixPath) -> str:
    """What two names share that are one file on some system."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def is_picture(path: PurePosixPath) -> bool:
    """Whether a name says a picture that training reads; not a system's leftovers."""
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return path.suffix.lower() in IMAGE_SUFFIXES and not hidden


def arrange(paths: Iterable[PurePosixPath]) -> dict[PurePosixPath, PurePosixPath]:
    """Where the pictures belong: below trainA, trainB, testA, testB (or valA, valB).

    Folders around them and other spellings do not matter; validation pictures are the test's where
    there are no others.

    Raises:
        ValueError: If there is no training folder of A or of B, or there are several data sets.
    """
    paths = list(paths)
    found = {path: place for path in paths if is_picture(path) and (place := _place(path))}
    if not any(folder.startswith("test") for _, folder, _ in found.values()):
        found = {p: (top, f.replace("val", "test"), rest) for p, (top, f, rest) in found.items()}
    folders = {folder for _, folder, _ in found.values()}
    if not {*NEEDED} <= folders:
        seen = Counter(str(path.parent) for path in paths if is_picture(path))
        names = ", ".join(f"{name} ({count})" for name, count in sorted(seen.items())[:8])
        got = f"got {names or 'no pictures'}"
        raise ValueError(f"expected pictures in folders trainA and trainB, {got}; {OWN_HINT}")
    tops = sorted({top for top, _, _ in found.values()})
    if len(tops) > 1:
        raise ValueError(
            f"it holds several data sets: {', '.join(tops)}; unpack it, and name one with --from"
        )
    places = {path: PurePosixPath(folder, rest) for path, (_, folder, rest) in found.items()}
    taken: dict[str, PurePosixPath] = {}
    for path, place in places.items():
        if taken.setdefault(same_file(place), path) != path:
            raise ValueError(f"{taken[same_file(place)]} and {path} would both become {place}")
    return places


def _place(path: PurePosixPath) -> tuple[str, str, str] | None:
    """(folders around, trainA or the like, path inside it), or None."""
    parts = path.parts
    for begin in range(len(parts) - 1):
        for length in (1, 2):
            match = _FOLDERS.fullmatch("/".join(parts[begin : begin + length]))
            if match and begin + length < len(parts):
                one, two = (group for group in match.groups() if group)
                phase, letter = (two, one) if len(one) == 1 else (one, two)
                folder = _PHASES[phase.lower()] + letter.upper()
                top = "/".join(parts[:begin]) or "."
                return top, folder, "/".join(parts[begin + length :])
    return None
