"""The curves of a run, in few enough points for a page."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np

POINTS = 600  # of a curve
# Charts in the page's order, and the names in a training record that they show; None for a metric.
CHARTS = {
    "generators": r"loss_gan_g_(.+)",
    "discriminators": r"loss_gan_d_(.+)",
    "consistency": r"(cycle_loss|id_loss|nce_loss|nce_id_loss)",
    "kid": None,
    "fid": None,
    "ssim": None,
    "cycle_error": None,
    "other": r"(.+)",  # what no other takes
    "lr": r"lr(?:\.(.+))?",
    "time": r"(time|data_time)",
    "memory": r"(memory)",
}


def charts(train: Sequence[Mapping], evaluations: Sequence[Mapping]) -> list[dict]:
    """All charts that have something to show.

    Returns:
        Dicts of `key`, `iters` and `series`: each of these has a `name`, perhaps a `label`, and a
        value or None for every iteration of `iters`; `low` and `high`, too, where values were
        put together.
    """
    rows = [flat_numbers(record) for record in train]
    names = list(dict.fromkeys(name for row in rows for name in row))
    found = []
    for key, pattern in CHARTS.items():
        if pattern is None:
            found.append(metric_chart(key, evaluations))
            continue
        matches = {name: re.fullmatch(pattern, name) for name in names}
        mine = {name: match[1] or name for name, match in matches.items() if match}
        if key == "other":
            # EvaluationHook tells mmcv's loggers its metrics as well, as kid_<domain>.
            rest = [other or f"{k}_.+" for k, other in CHARTS.items() if k != key]
            mine = {n: n for n in mine if not any(re.fullmatch(other, n) for other in rest)}
        # A line that EvaluationHook has asked for between two others has no losses.
        there = [i for i, row in enumerate(rows) if any(name in row for name in mine)]
        columns = {label: [rows[i].get(name) for i in there] for name, label in mine.items()}
        found.append(dict(key=key, **thinned([train[i]["iter"] for i in there], columns)))
    return [chart for chart in found if chart["series"]]


def flat_numbers(record: Mapping) -> dict[str, float]:
    """The figures of a training record; learning rates as lr.<optimizer>."""
    flat = {key: value for key, value in record.items() if key not in ("epoch", "iter")}
    if isinstance(flat.get("lr"), Mapping):
        flat.update({f"lr.{key}": value for key, value in flat.pop("lr").items()})
    return {key: value for key, value in flat.items() if is_number(value)}


def is_number(value: object) -> bool:
    """Whether it is one, NaN included."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def metric_chart(metric: str, evaluations: Sequence[Mapping]) -> dict:
    """KID or FID of each direction, and dashed what untranslated pictures have."""
    columns: dict[str, list] = {}
    labels, dashed = {}, set()
    for i, record in enumerate(evaluations):
        for target, figures in directions(record).items():
            untranslated = figures.get("untranslated") or {}
            for name, value in ((target, figures), (f"{target} untranslated", untranslated)):
                if is_number(value.get(metric)):
                    columns.setdefault(name, [None] * len(evaluations))[i] = value[metric]
                    labels[name] = f"{figures.get('source', '?')} → {target}"
                    if value is untranslated:
                        dashed.add(name)
    chart = thinned([record["iter"] for record in evaluations], columns)
    for series in chart["series"]:
        series.update(label=labels[series["name"]], dashed=series["name"] in dashed)
    return dict(key=metric, best=best_iteration(evaluations), **chart)


def directions(record: Mapping) -> dict[str, Mapping]:
    """The figures of an evaluation by target domain."""
    return {
        str(target): figures
        for target, figures in (record.get("directions") or {}).items()
        if isinstance(figures, Mapping)
    }


def best_iteration(evaluations: Sequence[Mapping]) -> int | None:
    """Where the mean KID over all directions is lowest."""
    scores = {}
    for record in evaluations:
        values = [figures.get("kid") for figures in directions(record).values()]
        if values and all(is_number(value) and math.isfinite(value) for value in values):
            scores[record["iter"]] = sum(values) / len(values)
    return min(scores, key=scores.get, default=None)


def thinned(
    iters: Sequence[int], columns: Mapping[str, Sequence[float | None]], points: int = POINTS
) -> dict:
    """Columns of a chart in at most `points` rows; the first and the last stay themselves.

    Returns:
        `iters` and `series`; a longer column has the mean, lowest and highest of each bucket.
    """
    count = len(iters)
    if not columns or not count:
        return dict(iters=[], series=[])
    starts = np.arange(count)
    if count > points:
        starts = np.unique(np.r_[0, np.linspace(1, count - 1, points - 1).astype(int)])
    values = np.array([list(column) for column in columns.values()], dtype=float)
    known = np.isfinite(values)
    number = np.add.reduceat(known, starts, axis=1, dtype=int)

    def bucket(function: np.ufunc, fill: float) -> list[list[float | None]]:
        filled = function.reduceat(np.where(known, values, fill), starts, axis=1)
        if function is np.add:
            filled = filled / np.maximum(number, 1)
        return np.where(number > 0, filled, np.nan).tolist()

    result = dict(mean=bucket(np.add, 0.0))
    if count > points:
        result |= dict(low=bucket(np.minimum, np.inf), high=bucket(np.maximum, -np.inf))
    middles = (starts + np.r_[starts[1:], count] - 1) // 2
    series = [
        dict(name=name, **{key: rows[i] for key, rows in result.items()})
        for i, name in enumerate(columns)
    ]
    return dict(iters=[iters[i] for i in middles], series=series)
