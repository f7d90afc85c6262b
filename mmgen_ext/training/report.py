"""The run report: one page that shows a run, made only of what lies in its folder.

It has its own style and script and asks for nothing else; it stays small however long the run is.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..files import replacing
from .records import last_start, read_records
from .report_charts import best_iteration, charts, directions, is_number, thinned
from .report_gallery import find_sheets, gallery

NAME = "report.html"
TEMPLATE = Path(__file__).with_name(NAME)
HEALTH_POINTS = 120  # of a check's history


def write_report(
    work_dir: str | os.PathLike,
    config: str,
    environment: str,
    iteration: int,
    total: int,
    state: str = "running",
) -> Path:
    """Write `<work_dir>/report.html` and return its path.

    Args:
        work_dir: Run directory.
        config: The resolved config, as text.
        environment: Versions and machine, as text.
        iteration: Iterations done; what an earlier run did beyond them is not shown.
        total: Iterations of the whole run.
        state: 'running' | 'finished' | 'stopped'.

    Raises:
        OSError: If it cannot be read or written; the report that was there stays.
    """
    path = Path(work_dir, NAME)
    page = report_page(work_dir, config, environment, iteration, total, state)
    with replacing(path) as part:
        # A file name that is not UTF-8 becomes a surrogate in Python.
        part.write_text(page_text(page), "utf-8", errors="replace")
    return path


def report_page(
    work_dir: str | os.PathLike,
    config: str,
    environment: str,
    iteration: int,
    total: int,
    state: str = "running",
    written: float | None = None,
) -> dict:
    """What a report shows, as plain data.

    Args:
        work_dir: See write_report, as all but the last.
        config: The same.
        environment: The same.
        iteration: The same.
        total: The same.
        state: The same.
        written: When it was like this, in seconds since 1970; None for now.

    Raises:
        OSError: If the folder cannot be read.
    """
    work_dir = Path(work_dir)
    records = {
        mode: [record for record in series if record["iter"] <= iteration]
        for mode, series in read_records(work_dir).items()
    }
    train, evaluations = records.get("train", []), records.get("evaluation", [])
    page = dict(
        name=work_dir.name,
        state=state,
        iteration=iteration,
        total=total,
        written=int(time.time() if written is None else written),
        timing=timing(train, evaluations),
        health=health(records.get("health", [])),
        charts=charts(train, evaluations),
        evaluation=evaluation(evaluations),
        gallery=gallery(find_sheets(work_dir, iteration, *last_start(work_dir))),
        environment=environment,
        config=config,
    )
    return plain(page)


def page_text(page: Mapping) -> str:
    """The report as a page, of its plain data."""
    text = json.dumps(page, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # Nothing in it can end the script element, whatever a config holds.
    return TEMPLATE.read_text("utf-8").replace("{{data}}", text.replace("<", "\\u003c"))


def read_page(path: str | os.PathLike) -> dict:
    """The plain data of a report that was written; of its script, which may be anyone's, nothing.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no report.
    """
    start, end = '<script type="application/json" id="data">', "</script>"
    text = Path(path).read_text("utf-8").partition(start)[2].partition(end)[0]
    try:
        page = json.loads(text)
        if not isinstance(page, dict):
            raise ValueError("no table")
    except ValueError as error:
        raise ValueError(f"{path} is not a report of a run ({error})") from None
    return page


def plain(value: object) -> object:
    """The same without NaN and infinity, which JSON does not know, and to five digits."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value


def timing(train: Sequence[Mapping], evaluations: Sequence[Mapping]) -> dict:
    """Seconds of an iteration, of the run and of its evaluations; share of waiting for data.

    The iteration and the share are medians of the latest log lines, whose times are without what
    is done between iterations; `mean`, from which the rest of the run is guessed, has evaluations.
    """
    timed = [record for record in train if is_number(record.get("time")) and record["time"] > 0]
    seconds = [record.get("seconds") for record in evaluations]
    seconds = [value for value in seconds if is_number(value)]
    found: dict = dict(evaluations=len(evaluations), evaluation_seconds=sum(seconds))
    if timed:
        steps = np.diff([0, *(record["iter"] for record in timed)])
        spent = steps * [record["time"] for record in timed]
        latest = timed[-200:]
        waits = [r.get("data_time", 0) / r["time"] for r in latest]
        found |= dict(
            seconds=float(np.median([record["time"] for record in latest])),
            mean=float(spent[-200:].sum() / steps[-200:].sum()) + sum(seconds) / timed[-1]["iter"],
            waiting=float(np.median(waits)),
            total=float(spent.sum()) + sum(seconds),
        )
    return found


def health(records: Sequence[Mapping]) -> list[dict]:
    """Each check with its latest value, its history and what it means; firing ones first."""
    if not records:
        return []
    from .health import describe

    described = {item["name"]: item for item in describe()}
    latest: dict[str, Mapping] = {}
    columns: dict[str, list] = {}
    for i, record in enumerate(records):
        for name, check in (record.get("checks") or {}).items():
            latest[name] = dict(check, iter=record["iter"])
            if is_number(check.get("value")):
                columns.setdefault(name, [None] * len(records))[i] = check["value"]
    history = thinned([record["iter"] for record in records], columns, HEALTH_POINTS)
    curves = {series["name"]: series["mean"] for series in history["series"]}
    found = [
        dict(described.get(name, dict(title=name)), **check, name=name, history=curves.get(name))
        for name, check in latest.items()
    ]
    return sorted(found, key=lambda check: not check.get("firing"))


def evaluation(evaluations: Sequence[Mapping]) -> dict:
    """The latest and the best evaluation."""
    if not evaluations:
        return {}
    best = best_iteration(evaluations)
    shown = {record["iter"]: dict(record, directions=directions(record)) for record in evaluations}
    return dict(latest=shown[evaluations[-1]["iter"]], best=shown.get(best))
