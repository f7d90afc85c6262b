"""What a run tells about itself in numbers: lines of JSON in <timestamp>.log.json, mmcv's file.

A record has `mode` and `iter`. mmcv's text log writes `train`; ours are `evaluation`, `health` and
`start`, where a run begins or goes on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
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
        record = dict(mode=mode, iter=runner.iter + 1) | dict(values)
        path = Path(runner.work_dir, f"{runner.timestamp}.log.json")
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def read_records(work_dir: str | os.PathLike) -> dict[str, list[dict]]:
    """All records of a run, by mode and in the order of their iterations.

    Iterations that a resumed run did again count as it did them. What a former run in the folder
    did beyond the start of this one is left out, as is a line that a killed run left half written.
    """
    records: dict[str, list[dict]] = {}
    for path in sorted(Path(work_dir).glob("*.log.json")):
        for line in path.read_text("utf-8", "replace").splitlines():
            try:
                record = json.loads(line)
                mode, iteration = record["mode"], int(record["iter"])
            except (ValueError, KeyError, TypeError):
                continue  # The environment stands there, too.
            if mode == "start":
                for key, series in records.items():
                    records[key] = [record for record in series if record["iter"] <= iteration]
            series = records.setdefault(mode, [])
            while series and series[-1]["iter"] >= iteration:
                series.pop()
            series.append(record)
    return records
