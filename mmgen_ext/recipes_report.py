"""The table and the sheets of compared recipes."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from prettytable import PrettyTable

from .inference.translator import Translator
from .pictures import labelled_grid, write_image
from .recipes import Plan, Run, first_pictures

PICTURES = 3  # of each direction on a sheet


def tables(plan: Plan) -> dict[str, PrettyTable]:
    """A table for each data set: a row for each recipe of which a run is done.

    KID is the mean of the seeds with half of their range; content the SSIM between a picture and
    its translation; grid the amplitude of a checkerboard, which is seen from 0.1 on.
    """
    made = {}
    for data in plan.sets:
        rows = {recipe: list(plan.done(recipe, data).values()) for recipe in plan.recipes}
        rows = {recipe: found for recipe, found in rows.items() if found}
        if not rows:
            continue
        # Some recipes make one domain alone.
        known = {}
        for found in rows.values():
            known |= found[0]["figures"]["minutes"]
        targets = list(known)
        table = PrettyTable(_titles(plan, targets))
        table.add_row(["untranslated", "", "", "", "", *_untranslated(known)])
        for recipe, found in rows.items():
            table.add_row([recipe, *_costs(found), *_figures(found, targets)])
        made[data] = table
    return made


def _titles(plan: Plan, targets: Sequence[str]) -> list[str]:
    titles = ["recipe", "seeds", "s/iteration", "MB", "iterations"]
    for to in targets:
        titles += [f"{to}: KID, {plan.iterations} it.", f"{to}: KID, {plan.minutes} min"]
        titles += [f"{to}: content", f"{to}: grid"]
    return titles


def _untranslated(figures: Mapping[str, Mapping]) -> Iterator[str]:
    for found in figures.values():
        yield from ("", f"{found['untranslated']['kid']:.3f}", "1", "")


def _costs(found: Sequence[Mapping]) -> tuple:
    mb = found[0]["mb"]
    return len(found), f"{found[0]['seconds']:.3f}", mb or "", found[0]["total"]


def _figures(found: Sequence[Mapping], targets: Sequence[str]) -> Iterator[str]:
    for to in targets:
        if to not in found[0]["figures"]["minutes"]:
            yield from [""] * 4
            continue
        for when in ("iterations", "minutes"):
            yield mean_and_spread([one["figures"][when][to]["kid"] for one in found])
        for key in ("ssim", "grid"):
            yield f"{statistics.mean(one['figures']['minutes'][to][key] for one in found):.2f}"


def mean_and_spread(values: Sequence[float]) -> str:
    """The mean, and half of the range where there are several."""
    spread = f" +-{(max(values) - min(values)) / 2:.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"


def sheets(plan: Plan) -> list[Path]:
    """Write a PNG for each data set and recipe, the same test pictures on each: one row each.

    The first pictures of each direction, and their translations by each seed's last weights.
    """
    written = []
    for data in plan.sets:
        for recipe in plan.recipes:
            if found := plan.done(recipe, data):
                path = plan.work_dir / data / f"{recipe}.png"
                write_image(path, _sheet(plan, found))
                written.append(path)
    return written


def _sheet(plan: Plan, found: Mapping[Run, Mapping]) -> np.ndarray:
    pictures = first_pictures(plan.config(next(iter(found))), PICTURES)
    columns: dict[str, list[np.ndarray]] = {}
    for run, result in found.items():
        folder = plan.folder_of(run)
        translator = Translator(folder / "config.py", folder / result["last"])
        for to, figures in result["figures"]["minutes"].items():
            source = figures["source"]
            columns[source] = pictures[source]
            columns[f"{to} {run.seed}"] = [translator(one, to) for one in pictures[source]]
    return labelled_grid(columns)
