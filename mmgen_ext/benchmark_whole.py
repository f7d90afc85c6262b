"""How long an iteration of both libraries' tools/train.py takes as shipped, loader included."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mmcv import Config
from prettytable import PrettyTable

from .benchmark_mmgen import MMGENS_TRAIN, mmgens_training
from .benchmark_run import SKIPPED, measure_run, quiet, run_python
from .config import load_config

THEIRS = "mmgen"


def whole(
    config: str | os.PathLike, iters: int = 8, repeats: int = 2, options: Mapping | None = None
) -> str:
    """Seconds of an iteration of both libraries' tools/train.py as shipped, loader included.

    Args:
        config: Config of ours; its data root must be there.
        iters: Iterations of each run that count.
        repeats: Runs of each, in turn.
        options: Overrides of the config.

    Returns:
        A table for people, and one line of JSON.
    """
    cfg = load_config(config, options)
    found: dict[str, list[dict]] = {kind: [] for kind in (THEIRS, "fp32", "bf16")}
    for _ in range(repeats):
        for kind, runs in found.items():
            with tempfile.TemporaryDirectory() as name:
                if kind == THEIRS:
                    runs.append(run_of_mmgens(cfg, Path(name), iters))
                else:
                    cfg.precision = kind
                    runs.append(measure_run(cfg, Path(name), iters))
    return _whole_report(found)


def _whole_report(found: Mapping[str, list[dict]]) -> str:
    table = PrettyTable(["tools/train.py", "s/iteration", "x mmgen", "data", "logging"])
    result: dict = {}
    for kind, runs in found.items():
        result[f"{kind}_whole_s"] = seconds = statistics.median(run["s"] for run in runs)
        shares = {
            part: statistics.mean(run["parts"][part] for run in runs)
            for part in ("data", "logging")
            if part in runs[0]["parts"]
        }
        result |= {f"{kind}_{part}_share": share for part, share in shares.items()}
        ratio = f"{result[f'{THEIRS}_whole_s'] / seconds:.2f}"
        shown = [f"{shares[part]:.1%}" if part in shares else "" for part in ("data", "logging")]
        table.add_row([kind, f"{seconds:.3f}", ratio, *shown])
    return f"{table}\n{json.dumps(result)}"


def run_of_mmgens(cfg: Config, folder: Path, iters: int) -> dict:
    """Median seconds of an iteration of mmgen's training, and the share of waiting for data."""
    path, work_dir = folder / "config.py", folder / "run"
    changes = dict(quiet(), total_iters=iters + SKIPPED, checkpoint_config=dict(interval=10**9))
    path.write_text(mmgens_training(cfg, changes), "utf-8")
    run_python([*MMGENS_TRAIN, str(path), "--work-dir", str(work_dir), "--no-validate"])
    taken = _iterations(work_dir)
    waited = sum(d for _, d in taken) / sum(t for t, _ in taken)
    return dict(s=statistics.median(t for t, _ in taken), parts=dict(data=waited))


def _iterations(work_dir: Path) -> list[tuple[float, float]]:
    """(seconds, of them waiting for data) of the iterations that count."""
    (log,) = work_dir.glob("*.log.json")
    entries = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    return [(e["time"], e["data_time"]) for e in entries if e.get("mode") == "train"][SKIPPED:]
