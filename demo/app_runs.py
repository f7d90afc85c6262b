"""The trainings that the web app shows: what their folders say, read anew as it changes."""

from __future__ import annotations

import functools
import os
import time
from dataclasses import dataclass
from pathlib import Path

from app_models import DEPTH

from mmgen_ext.training.records import read_records
from mmgen_ext.training.report import NAME, page_text, read_page, report_page
from mmgen_ext.training.report_charts import directions, is_number

SILENT = 900  # seconds after which a run that does not say it has ended is taken for dead
LARGEST = 20_000_000  # bytes of a report.html; ours stay below a quarter of it


@dataclass(frozen=True)
class Run:
    """How a training is doing.

    Attributes:
        state: 'running' | 'finished' | 'stopped' | 'silent'.
        iteration: Iterations done.
        total: Iterations of the whole run; 0 if it is not known.
        loss: All losses together, as logged last, or None.
        kid: Mean KID over the directions at the last evaluation, or None.
        updated: When it was heard of last, in seconds since 1970.
        config: The config, as text.
        environment: Versions and machine, as text.
    """

    state: str
    iteration: int
    total: int
    loss: float | None
    kid: float | None
    updated: float
    config: str
    environment: str


def find_runs(work_dirs: Path) -> dict[str, Path]:
    """Name to folder, the newest first."""
    found = {}
    for parent, folders, names in os.walk(work_dirs):
        depth = len(Path(parent).relative_to(work_dirs).parts)
        folders[:] = [n for n in folders if n[0] != "."] if depth < DEPTH else []
        if depth and any(n == NAME or n.endswith(".log.json") for n in names):
            name = Path(parent).relative_to(work_dirs).as_posix()
            if name.isprintable():
                found[name] = Path(parent)
    return dict(sorted(found.items(), key=lambda item: -_changed(item[1])[-1]))


def read_run(folder: Path) -> Run:
    """How the training of a folder is doing."""
    run = _read_run(folder, _changed(folder))
    if run.state == "running" and time.time() - run.updated > SILENT:
        return Run(**{**vars(run), "state": "silent"})
    return run


def report_of(folder: Path) -> str:
    """A page with all of a run up to now; of what lies there nothing is executed."""
    return _report_of(folder, _changed(folder))


def _changed(folder: Path) -> tuple[float, ...]:
    """When its logs and its report have changed; the latest comes last."""
    times = [0.0]
    for path in (*folder.glob("*.log.json"), folder / NAME):
        try:
            times.append(path.stat().st_mtime)
        except OSError:
            continue  # gone, or about to be replaced
    return tuple(sorted(times))


@functools.lru_cache(maxsize=64)
def _read_run(folder: Path, changed: tuple[float, ...]) -> Run:
    records = read_records(folder)
    train, evaluations = records.get("train", []), records.get("evaluation", [])
    page = _own_page(folder)
    losses = [r["loss"] for r in train if is_number(r.get("loss"))]
    kids = [
        [d["kid"] for d in directions(r).values() if is_number(d.get("kid"))] for r in evaluations
    ]
    last = max((series[-1]["iter"] for series in records.values() if series), default=0)
    state = page.get("state") if page.get("state") in ("finished", "stopped") else "running"
    return Run(
        state=state,
        iteration=max(last, _whole(page.get("iteration"))),
        total=_whole(page.get("total")),
        loss=losses[-1] if losses else None,
        kid=sum(kids[-1]) / len(kids[-1]) if kids and kids[-1] else None,
        updated=changed[-1],
        config=str(page.get("config") or ""),
        environment=str(page.get("environment") or ""),
    )


@functools.lru_cache(maxsize=2)
def _report_of(folder: Path, changed: tuple[float, ...]) -> str:
    run = _read_run(folder, changed)
    total = run.total or run.iteration
    page = report_page(
        folder, run.config, run.environment, run.iteration, total, run.state, run.updated
    )
    return page_text(page)


def _own_page(folder: Path) -> dict:
    """What the run's own report says; nothing if there is none, or it is somebody else's."""
    path = folder / NAME
    try:
        return read_page(path) if path.stat().st_size < LARGEST else {}
    except (OSError, ValueError, RecursionError):
        return {}


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
