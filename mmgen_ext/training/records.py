"""What a run tells about itself in numbers: lines of JSON in <timestamp>.log.json, mmcv's file.

A record has `mode` and `iter`. mmcv's text log writes `train`; ours are `evaluation` and `health`.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from . import distributed


def append_record(runner, mode: str, values: Mapping) -> None:
    """Add a record of the iteration that is being finished; on rank 0, others do nothing.

    Args:
        runner: The run.
        mode: What kind of record.
        values: Plain data under further keys.
    """
    if distributed.rank() == 0:
        record = dict(mode=mode, iter=runner.iter + 1, **values)
        path = Path(runner.work_dir, f"{runner.timestamp}.log.json")
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def read_records(work_dir: str | os.PathLike) -> dict[str, list[dict]]:
    """All records of a run, by mode and in the order of their iterations.

    Iterations that a resumed run did again count as it did them. What a former run in the folder
    did beyond the start of this one is left out, as is a line that a killed run left half written.
    """
    records: dict[str, list[dict]] = {}
    for path in _logs(work_dir):
        for number, record in enumerate(_records_of(path)):
            # A new file is of a run that began, or went on, before its first record.
            for mode in list(records) if number == 0 else [record["mode"]]:
                series = records.get(mode, [])
                while series and series[-1]["iter"] >= record["iter"]:
                    series.pop()
            records.setdefault(record["mode"], []).append(record)
    return records


def last_start(work_dir: str | os.PathLike) -> tuple[int, float]:
    """The first iteration that the newest log tells of, and when that log was begun.

    Returns:
        0 and 0 if there is none yet.
    """
    for path in _logs(work_dir)[-1:]:
        first = next(_records_of(path), None)
        with contextlib.suppress(ValueError):
            began = time.mktime(time.strptime(path.name[:15], "%Y%m%d_%H%M%S"))
            return (first["iter"] if first else 0), began
    return 0, 0.0


def _logs(work_dir: str | os.PathLike) -> list[Path]:
    """From the oldest to the newest; names begin with the time."""
    return sorted(Path(work_dir).glob("*.log.json"))


def _records_of(path: Path) -> Iterator[dict]:
    for line in path.read_text("utf-8", "replace").splitlines():
        try:
            record = json.loads(line)
            record["mode"], record["iter"] = str(record["mode"]), int(record["iter"])
        except (ValueError, KeyError, TypeError):
            continue  # The environment stands there, too.
        yield record
