"""How long an iteration of both libraries' tools/train.py takes as shipped, loader included."""

from __future__ import annotations

import json
import os
import re
import runpy
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from mmcv import Config
from prettytable import PrettyTable

from .config import load_config, plain_data

THEIRS = "mmgen"


def whole(
    config: str | os.PathLike, iters: int = 8, repeats: int = 2, options: Mapping | None = None
) -> str:
    """Seconds of an iteration of both libraries' tools/train.py as shipped, loader included.

    Args:
        config: Config of ours; its data root must be there.
        iters: Iterations of each run; the first two do not count.
        repeats: Runs of each, in turn.
        options: Overrides of the config.

    Returns:
        A table for people, and one line of JSON.
    """
    cfg = load_config(config, options)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        theirs = folder / "theirs.py"
        theirs.write_text(_mmgensrun_python(cfg, iters), "utf-8")
        runs = {THEIRS: [str(theirs)]}
        for precision in ("fp32", "bf16"):
            ours = folder / f"{precision}.py"
            shown = dict(total_iters=iters, precision=precision)
            run = {**plain_data(cfg._cfg_dict.to_dict()), **_quiet(), **shown}
            ours.write_text("\n".join(f"{k} = {v!r}" for k, v in run.items()), "utf-8")
            runs[precision] = [str(ours)]
        times: dict[str, list] = {kind: [] for kind in runs}
        for repeat in range(repeats):
            for kind, (path,) in runs.items():
                work_dir = folder / f"{kind} {repeat}"
                _train(kind, path, work_dir)
                times[kind] += _iterations(work_dir)
    return _whole_report(times)


def _whole_report(times: Mapping[str, list]) -> str:
    table = PrettyTable(["tools/train.py", "s/iteration", "x mmgen", "waiting for data"])
    medians = {k: statistics.median(t for t, _ in taken) for k, taken in times.items()}
    result: dict = {}
    for kind, taken in times.items():
        share = sum(d for _, d in taken) / sum(t for t, _ in taken)
        ratio = medians[THEIRS] / medians[kind]
        table.add_row([kind, f"{medians[kind]:.3f}", f"{ratio:.2f}", f"{share:.1%}"])
        result[f"{kind}_whole_s"], result[f"{kind}_data_share"] = medians[kind], share
    return f"{table}\n{json.dumps(result)}"


def _quiet() -> dict:
    """Of a run that only computes: every iteration is logged, and nothing else happens."""
    hooks = dict(log_config=dict(interval=1, hooks=[dict(type="TextLoggerHook")]))
    return dict(hooks, custom_hooks=[], checkpoint_config=None, evaluation=None)


def _mmgensrun_python(cfg: Config, iters: int) -> str:
    """A config of mmgen's own: the paper's CycleGAN, with the data and the size of ours."""
    a, b = cfg.model.domains
    base = files("mmgen") / ".mim" / "configs" / "cyclegan"
    text = (base / "cyclegan_lsgan_resnet_in_facades_b1x1_80k.py").read_text("utf-8")
    text = text.replace("'../_base_", f"'{(base.parent / '_base_').as_posix()}")
    text = re.sub(r"domain_a = 'mask'", f"domain_a = {a!r}", text)
    text = re.sub(r"domain_b = 'photo'", f"domain_b = {b!r}", text)
    root = str(cfg.data.train.data_root)
    text = re.sub(r"dataroot = '.*'", f"dataroot = {root!r}", text)
    extra = {**_quiet(), "total_iters": iters, "checkpoint_config": dict(interval=10**9)}
    lines = [f"{key} = {value!r}" for key, value in extra.items()]
    return "\n".join([text, *lines, "lr_config = None"])


def _train(kind: str, config: str, work_dir: Path) -> None:
    tool = Path(__file__).resolve().parents[1] / "tools" / "train.py"
    arguments = [config, "--work-dir", str(work_dir), "--no-validate"]
    if kind == THEIRS:
        code = "import sys; from mmgen_ext import benchmark_whole as b; b.run_mmgens(sys.argv[1:])"
        run_python(["-c", code, *arguments])
    else:
        run_python([str(tool), *arguments])


def run_mmgens(arguments: list[str]) -> None:
    """Run mmgen's tools/train.py in this process, on the stack that `compat` has repaired."""
    tool = str(files("mmgen") / ".mim" / "tools" / "train.py")
    sys.argv = [tool, *arguments]
    runpy.run_path(tool, run_name="__main__")


def _iterations(work_dir: Path) -> list[tuple[float, float]]:
    """(seconds, of them waiting for data) of all but the first two iterations."""
    (log,) = work_dir.glob("*.log.json")
    entries = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    return [(e["time"], e["data_time"]) for e in entries if e.get("mode") == "train"][2:]


def run_python(arguments: list[str]) -> str:
    """Run Python with arguments; return what it prints."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"a measured process failed: {done.stderr.strip()[-600:]}")
    return done.stdout
