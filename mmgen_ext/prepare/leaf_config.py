"""A config for a data set of one's own: what makes it different, and nothing else."""

from __future__ import annotations

import keyword
import os
import re
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from ..files import replacing, shipped

ROOT = shipped("configs").parent
_BASES = (
    "_base_/model_default.py",
    "_base_/data.py",
    "_base_/schedule_default.py",
    "_base_/runtime.py",
)
_SMALL = ("cyclegan/cyclegan_lsgan_resnet-resize_in_b1x1_4k_128x128_cpu_monet2photo.py",)
_TEXT = '''"""{title} and back{size}."""

_base_ = [
{bases}]
domains = {domains}  # trainA, trainB
data_root = {data_root}
model = dict(domains=domains, default_domain={target})
'''


def check_names(names: Sequence[str]) -> list[str]:
    """Two names of domains as they were given.

    Raises:
        ValueError: If they cannot be used or are the same.
    """
    for name in names:
        if name != _identifier(name):
            raise ValueError(
                f"--names {name!r} cannot name a domain; expected letters, digits and _, "
                f"for example {_identifier(name)!r}"
            )
    if names[0] == names[1]:
        raise ValueError(f"--names are both {names[0]!r}; expected two different ones")
    return list(names)


def domain_names(sources: Sequence[Path]) -> list[str]:
    """Two different names of domains after the sources' own."""
    stems = [p.resolve().stem if p.is_file() else p.resolve().name for p in sources]
    names = [_identifier(stem) for stem in stems]
    if names[0] == names[1]:  # photos/old and paintings/old
        above = [path.resolve().parent.name for path in sources]
        names = [_identifier(f"{a}_{stem}") for a, stem in zip(above, stems, strict=True)]
    return names if names[0] != names[1] else [f"{names[0]}_a", f"{names[1]}_b"]


def _identifier(text: str) -> str:
    """The nearest name that can be a variable, and a network's in PyTorch."""
    name = re.sub(r"\W+", "_", text).strip("_") or "domain"
    name = f"d_{name}" if not name.isidentifier() else name
    return f"{name}_" if keyword.iskeyword(name) or hasattr(nn.ModuleDict(), name) else name


def write_leaf(path: Path, domains: Sequence[str], data_root: Path, small: bool = False) -> None:
    """Write a config that trains on a data set; it works from where it lies.

    Args:
        path: File to write.
        domains: Names of A and B.
        data_root: Folder of the data set.
        small: Whether it is for a CPU: 128 x 128 pixels, narrow networks, 4,000 iterations.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.resolve().parent
    # Within the repository they move together; elsewhere a relative path would break sooner.
    bases = [ROOT / "configs" / name for name in (_SMALL if small else _BASES)]
    if ROOT in folder.parents:
        bases = [Path(os.path.relpath(base, folder)) for base in bases]
    target = data_root.resolve()
    if ROOT in target.parents and Path.cwd() == ROOT:
        target = target.relative_to(ROOT)
    text = _TEXT.format(
        title=f"{domains[0].capitalize()} to {domains[1]}",
        size=", small enough for a CPU" if small else "",
        bases="".join(f"    {_quoted(base.as_posix())},\n" for base in bases),
        domains=f"[{_quoted(domains[0])}, {_quoted(domains[1])}]",
        data_root=_quoted(target.as_posix()),
        target=_quoted(domains[1]),
    )
    with replacing(path) as part:
        part.write_text(text, "utf-8")


def _quoted(text: str) -> str:
    """A string as Python writes it, in the quotes of this project."""
    return repr(text) if '"' in text or "'" in text or "\\" in text else f'"{text}"'
