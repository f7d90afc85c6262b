"""Findings about a data set in words: tables, what is wrong, what to do, and a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from prettytable import PrettyTable

from ..pictures import write_image
from ..words import counted
from .check import TINY, Findings, Folder, colours, look_through
from .check_sheet import sample_sheet

_FEW = 100  # training pictures, below which a discriminator soon knows each by heart
_SHOWN = 20


@dataclass
class Report:
    """What check says.

    Attributes:
        text: To be printed.
        usable: Whether it can be trained on as it is.
        root: Folder of the data set; None for a single folder of pictures.
    """

    text: str
    usable: bool
    root: Path | None = None


def check_set(path: Path, sheet: Path) -> Report:
    """Look at a data set, or a folder of pictures, and write a sheet of samples.

    Raises:
        FileNotFoundError: If there is none.
    """
    findings = look_through(path)
    problems, warnings = judge(findings)
    parts = [folder_table(findings)]
    if findings.paired and all(_of(findings, letter) for letter in "AB"):
        parts.append(colour_table(findings))
    parts += [lines for lines in (list_broken(findings), list_leaks(findings)) if lines]
    if any(folder.looks for folder in findings.folders.values()):
        sheet.parent.mkdir(parents=True, exist_ok=True)
        write_image(sheet, sample_sheet(findings))
        parts.append(f"samples: {sheet}")
    parts.append(verdict(problems, warnings))
    root = findings.root if findings.paired else None
    return Report("\n\n".join(parts), not problems, root)


def _of(findings: Findings, letter: str) -> list[Folder]:
    return [f for name, f in findings.folders.items() if name.endswith(letter) and f.looks]


def folder_table(findings: Findings) -> str:
    """Counts and sizes of each folder."""
    columns = ["", "pictures", "MB", "smallest", "median", "largest"]
    columns += ["broken", "gray", "tiny", "copies", "look-alikes"]
    table = PrettyTable(columns, align="r")
    for name, folder in findings.folders.items():
        sizes = sorted((look["size"] for look in folder.looks.values()), key=lambda s: s[0] * s[1])
        picks = [sizes[0], sizes[len(sizes) // 2], sizes[-1]] if sizes else []
        shown = [f"{width} x {height}" for height, width in picks] or ["-"] * 3
        table.add_row(
            [name, len(folder.paths), f"{folder.size / 1e6:.1f}", *shown, len(folder.broken),
             folder.count("gray"), folder.count("tiny"), len(findings.copies[name]),
             len(findings.alike[name])]
        )  # fmt: skip
    return f"{findings.root}\n{table}"


def colour_table(findings: Findings) -> str:
    """Colours of both domains, and how far apart they are."""
    table = PrettyTable(["", "lightness L", "green-red a", "blue-yellow b"], align="r")
    means = []
    for letter in "AB":
        mean, deviation = colours(_of(findings, letter))
        means.append(mean)
        cells = [f"{m:.1f} ± {d:.1f}" for m, d in zip(mean, deviation, strict=True)]
        table.add_row([letter, *cells])
    apart = float(np.linalg.norm(means[0] - means[1]))
    words = "hardly" if apart < 5 else "somewhat" if apart < 15 else "far"
    return f"{table}\nmean colours are {words} apart: {apart:.1f} (CIELAB; 2 is just visible)"


def list_broken(findings: Findings) -> str:
    """Every broken file with what is wrong."""
    broken = [(p, e) for folder in findings.folders.values() for p, e in folder.broken.items()]
    return _listed("broken", [f"{path}: {error}" for path, error in broken], len(broken))


def list_leaks(findings: Findings) -> str:
    """Test pictures that are in training too, exactly or nearly."""
    lines = [
        f"{path} {sign} {other}"
        for kind, sign in ((findings.copies, "="), (findings.alike, "looks like"))
        for key, pairs in kind.items()
        if " " in key and findings.paired
        for path, other in pairs
    ]
    return _listed("the same in two folders", lines, _SHOWN)


def _listed(title: str, lines: Sequence[str], most: int) -> str:
    more = [f"and {len(lines) - most} more"] if len(lines) > most else []
    return "\n  ".join([f"{title}:", *lines[:most], *more]) if lines else ""


def judge(findings: Findings) -> tuple[list[str], list[str]]:
    """What makes training impossible, and what makes it worse, each with what to do."""
    problems, warnings = [], []
    for name in ("trainA", "trainB") if findings.paired else ():
        folder = findings.folders.get(name)
        if folder is None or not folder.looks:
            what = "is missing" if folder is None else "holds no picture that can be read"
            problems.append(f"{name} {what}: put pictures of that kind there")
        elif len(folder.looks) < _FEW:
            warnings.append(
                f"{name} has only {counted(len(folder.looks), 'picture')}: a few hundred make a "
                f"good start"
            )
    broken = sum(len(folder.broken) for folder in findings.folders.values())
    if broken:
        problems.append(
            f"{counted(broken, 'broken file')}: remove or replace what is broken, or train with "
            f"--cfg-options data.train.on_error=skip"
        )
    for name, folder in findings.folders.items():
        warnings += _judge_folder(name, folder)
        for found, what in ((findings.copies, "copies"), (findings.alike, "look-alikes")):
            if found[name]:
                pairs = [f"{path.name} and {other.name}" for path, other in found[name]]
                shown = ", ".join(pairs[:3]) + (", ..." if len(pairs) > 3 else "")
                warnings.append(f"{name}: {what}, of which one is enough: {shown}")
    return problems, warnings + (_judge_pair(findings) if findings.paired else [])


def _judge_folder(name: str, folder: Folder) -> list[str]:
    warnings, count = [], len(folder.looks)
    gray, tiny = folder.count("gray"), folder.count("tiny")
    if 0 < gray < count:
        warnings.append(
            f"{name}: {gray} of {count} are gray among coloured ones: the model learns to take "
            f"colours away; remove them, unless that is wanted"
        )
    elif gray:
        warnings.append(f"{name}: all are gray, which is well for drawings and the like")
    if tiny:
        warnings.append(
            f"{name}: {tiny} of {count} are tiny, less than {TINY} pixels: training at 256 blurs "
            f"them; take larger ones, or train smaller"
        )
    strange = {s: n for s, n in folder.others.items() if s in (".heic", ".heif", ".mp4", ".mov")}
    if strange:
        counts = ", ".join(f"{count} {suffix}" for suffix, count in sorted(strange.items()))
        warnings.append(f"{name}: training does not read {counts}: make a set of them with own")
    return warnings


def _judge_pair(findings: Findings) -> list[str]:
    warnings = []
    for letter in "AB":
        if not any(f"{phase}{letter}" in findings.folders for phase in ("test", "val")):
            warnings.append(
                f"there is no test{letter}: nothing measures how good the translations are; move "
                f"some pictures of train{letter} there"
            )
        pairs = [k for k in findings.copies if k.startswith(f"train{letter} ")]
        leaks = sum(len(findings.copies[k]) + len(findings.alike[k]) for k in pairs)
        if leaks:
            warnings.append(
                f"{counted(leaks, 'test picture')} of {letter} in training too, or nearly: tests "
                f"on what was trained on say little; keep it on one side"
            )
    both = len(findings.copies.get("A B", []))
    if both:
        warnings.append(f"{counted(both, 'picture')} in both domains: sort into one")
    return warnings


def verdict(problems: Sequence[str], warnings: Sequence[str]) -> str:
    """The last lines of a report."""
    if problems:
        title = "Verdict: it cannot be trained on as it is"
    elif warnings:
        title = f"Verdict: usable, with {counted(len(warnings), 'warning')}"
    else:
        return "Verdict: good"
    lines = [f"error: {line}" for line in problems] + [f"warning: {line}" for line in warnings]
    return "\n  ".join([title, *lines])
