"""Files that are whole or not there."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path


def part_of(path: Path, process: int | str | None = None) -> Path:
    """Where `path` is written by a process, this one for None, before it is whole."""
    process = os.getpid() if process is None else process
    name = f".{path.name}.{process}.part"
    if len(os.fsencode(name)) > 255:  # what file systems allow
        name = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:32]}.{process}.part"
    return path.with_name(name)


def shipped(name: str) -> Path:
    """The folder `configs` or `tools`: inside an installed package, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


def tool(name: str) -> str:
    """How one types a command line of ours: in a checkout it is a file, else the package's."""
    in_checkout = shipped("tools").parent != Path(__file__).resolve().parent
    return f"python tools/{name}.py" if in_checkout else f"python -m mmgen_ext {name}"


def typed(text: str) -> str:
    """A text with commands as in a checkout, with what one types here in their place."""
    return re.sub(r"python tools/(\w+)\.py", lambda found: tool(found[1]), text)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path`, moved there on success; otherwise leave nothing behind."""
    part = part_of(path)
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def remove_rests(folder: Path) -> None:
    """Delete what a killed process left half written by `replacing` in a folder and below."""
    for part in folder.rglob(".*.part"):
        part.unlink(missing_ok=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`; a copy where the file system has no hard links."""
    with replacing(target) as part:
        try:
            os.link(os.path.realpath(source), part)  # A link to a link might lead nowhere.
        except OSError:
            shutil.copyfile(source, part)
