"""A data set of one's own: two folders or videos become trainA, trainB, testA and testB."""

from __future__ import annotations

import collections
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..datasets.images import list_broken
from ..words import counted, meant
from .fill import fill
from .get import Made
from .leaf_config import check_names, domain_names, write_leaf
from .place import check_free, counts_of, new_folder, only_one
from .sources import read_domain


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
        small: Whether the config is one for a CPU.
    """

    test: float = 0.1
    seed: int = 0
    size: int | None = None
    every: int = 10
    link: bool = False
    skip_broken: bool = False
    overwrite: bool = False
    small: bool = False


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
                read_domain(path, scratch / letter, choices.every)
                for path, letter in zip(paths, "AB", strict=True)
            ]
            broken = [entry for domain in domains for entry in domain.broken]
            notes = [note for domain in domains for note in domain.notes]
            notes += _judge_broken(broken, choices.skip_broken)
            rng = np.random.default_rng(choices.seed)
            for path, domain, letter in zip(paths, domains, "AB", strict=True):
                if len(domain.groups) < 2:
                    raise ValueError(
                        f"{path}: {counted(len(domain.groups), 'usable picture')}; expected at "
                        f"least 2, one to train on and one to try it on"
                    )
                test = split(domain.groups, choices.test, rng)
                if not test:
                    notes.append(f"no test pictures of {letter}: all of them look the same")
                notes += fill(part, letter, domain, test, choices.size, choices.link)
            shutil.rmtree(scratch, ignore_errors=True)
    write_leaf(config, names, out, choices.small)
    return Made(out, counts_of(out), notes)


def _check_apart(sources: Sequence[Path], out: Path) -> None:
    target = out.resolve()
    for source in (path.resolve() for path in sources):
        if not source.exists():
            raise FileNotFoundError(f"no folder or video {source}{meant(source)}")
        if target == source or target in source.parents or source in target.parents:
            raise ValueError(f"OUT {out} and {source} lie one in the other; choose another folder")
    a, b = (path.resolve() for path in sources)
    if a == b or a in b.parents or b in a.parents:
        raise ValueError(
            f"{sources[0]} and {sources[1]} are the same or one lies in the other; expected two "
            f"kinds of pictures apart"
        )


def _judge_broken(broken: list[tuple[Path, str]], skip: bool) -> list[str]:
    """A note on broken files, or a ValueError that names them all."""
    if broken and not skip:
        raise ValueError(
            f"{list_broken(broken)}\nRemove or replace them, or leave them out with --skip-broken"
        )
    return [f"left out {list_broken(broken)}"] if broken else []


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
        raise ValueError(
            f"--test {wanted} of {counted(count, 'picture')} would leave none to train on"
        )
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
