"""Recipes trained one after another at equal work, and what became of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmcv import Config
from tqdm import tqdm

from .benchmark_mmgen import MMGENS_TRAIN, ONLY_OURS, mmgens_training
from .benchmark_run import measure_run
from .benchmark_whole import run_of_mmgens
from .config import config_text, load_config
from .evaluation.image_sets import Preparation, find_images
from .evaluation.run import evaluate_checkpoint
from .files import replacing
from .inference.translator import Translator
from .pictures import image_to_tensor
from .training.health.measures import checkerboard
from .training.signals import signals_noted

MMGEN = "mmgen"  # the recipe that mmgen's own tools/train.py trains
MEASURED = 8  # iterations whose median is a recipe's time
KEYS = {"base", "common", "sets", "recipes", "seeds", "repeated", "minutes", "iterations"}
PICTURES = 24  # of each direction, in which a checkerboard is looked for


class Run(NamedTuple):
    """One training.

    Attributes:
        recipe: Its name in the plan.
        data: Name of the data set.
        seed: Of weights, order and crops.
    """

    recipe: str
    data: str
    seed: int


class Plan:
    """What is compared, read from a config.

    The file names `base`, a config; `common`, overrides of it by dotted keys as on the command
    line; `sets`, name to overrides that name domains and data root; `recipes`, name to overrides,
    or 'mmgen' for that library's own training; of a set or a recipe `base` may be another config,
    the recipe's before the set's; `seeds`;
    `repeated`, the recipes that are trained with all of these, the others with the first alone
    where nothing else is asked for; `minutes` that each trains; `iterations` after which all are
    measured as well.

    Args:
        path: The file.
        work_dir: Where the runs are kept.
        data: Folder that the sets' data roots are relative to.
        only: Names of recipes, sets and seeds that count; None for all.

    Raises:
        ValueError: If the file lacks something, or `only` names what is not there.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        work_dir: str | os.PathLike,
        data: str | os.PathLike = ".",
        only: Mapping[str, Sequence | None] | None = None,
    ):
        found = Config.fromfile(str(path))._cfg_dict.to_dict()
        if set(found) != KEYS:
            got, wanted = (", ".join(sorted(keys)) or "nothing" for keys in (found, KEYS))
            raise ValueError(f"{path} names {got}; expected {wanted}")
        self.folder, self.work_dir, self.data = Path(path).parent, Path(work_dir), Path(data)
        self.base, self.common = found["base"], found["common"]
        self.minutes, self.iterations = found["minutes"], found["iterations"]
        only = {key: names for key, names in (only or {}).items() if names}
        for key, names in (*only.items(), ("recipes", found["repeated"])):
            if unknown := [str(name) for name in names if name not in found[key]]:
                known = ", ".join(map(str, found[key]))
                raise ValueError(f"no {key} {', '.join(unknown)} in {path}; choose of {known}")
        self.recipes, self.sets = (
            {k: v for k, v in found[key].items() if k in only.get(key, found[key])}
            for key in ("recipes", "sets")
        )
        self.seeds = only.get("seeds", found["seeds"])
        self.repeated = self.recipes if "seeds" in only else found["repeated"]

    def runs(self) -> Iterator[Run]:
        """All of a seed before the next, so that an unfinished table has something of each."""
        for seed in self.seeds:
            recipes = [r for r in self.recipes if r in self.repeated or seed == self.seeds[0]]
            for data in self.sets:
                yield from (Run(recipe, data, seed) for recipe in recipes)

    def left(self) -> list[Run]:
        """What is not done yet."""
        return [run for run in self.runs() if self.result(run) is None]

    def done(self, recipe: str, data: str) -> dict[Run, dict]:
        """The results of a recipe on a data set, by run."""
        runs = (Run(recipe, data, seed) for seed in self.seeds)
        found = {run: self.result(run) for run in runs}
        return {run: result for run, result in found.items() if result is not None}

    def folder_of(self, run: Run) -> Path:
        """Where a run is kept."""
        return self.work_dir / run.data / run.recipe / f"seed_{run.seed}"

    def result(self, run: Run) -> dict | None:
        """What was found, if the run is done."""
        path = self.folder_of(run) / "result.json"
        return json.loads(path.read_text("utf-8")) if path.is_file() else None

    def config(self, run: Run) -> Config:
        """The config that a run is trained with, but for its iterations."""
        overrides = {**self.common, **self.sets[run.data]}
        overrides["data_root"] = str(self.data / overrides["data_root"])
        recipe = self.recipes[run.recipe]
        if recipe == MMGEN:  # What it trains has its names and shapes.
            recipe = {f"model.generator.{key}": value for key, value in ONLY_OURS.items()}
        overrides |= recipe
        base = overrides.pop("base", self.base)
        return load_config(self.folder / base, {**overrides, "seed": run.seed})


def compare(plan: Plan, tell: Callable[[str], None] = tqdm.write) -> None:
    """Train and measure what is not done yet; what was begun goes on where it stopped.

    Args:
        plan: What is compared.
        tell: Is given a line for each run.

    Raises:
        ValueError: If a training fails: where its output is.
    """
    for run in tqdm(plan.left(), "recipes", unit="run"):
        seconds, peak = _speed(plan, run)
        total = max(plan.iterations, int(plan.minutes * 60 / seconds))
        checkpoints = _train(plan, run, total)
        figures = {when: _measure(plan, run, path) for when, path in checkpoints.items()}
        last = str(checkpoints["minutes"].relative_to(plan.folder_of(run)))
        found = dict(seconds=seconds, mb=peak, total=total, last=last, figures=figures)
        with replacing(plan.folder_of(run) / "result.json") as part:
            part.write_text(json.dumps(found, ensure_ascii=False), "utf-8")
        kids = {to: figures["minutes"][to]["kid"] for to in figures["minutes"]}
        tell(f"{run.data} {run.recipe} seed {run.seed}: {total} iterations, KID "
             + ", ".join(f"to {to} {kid:.3f}" for to, kid in kids.items()))  # fmt: skip


def _measure(plan: Plan, run: Run, checkpoint: Path) -> dict[str, dict]:
    """What `evaluate` returns by target domain, and `grid`: see `checkerboard`."""
    config = plan.folder_of(run) / "config.py"
    figures, _ = evaluate_checkpoint(config, checkpoint)
    translator, real = Translator(config, checkpoint), first_pictures(plan.config(run), PICTURES)
    for to, found in figures.items():
        made = [translator(picture, to) for picture in real[found["source"]]]
        sets = [
            torch.stack([image_to_tensor(picture) for picture in pictures])
            for pictures in (made, real[found["source"]], real[to])
        ]
        found["grid"] = checkerboard(*sets)
    return figures


def first_pictures(cfg: Config, count: int) -> dict[str, list[np.ndarray]]:
    """The first test pictures of each domain, uint8 (H, W, C), as evaluations prepare them."""
    preparation, channels = Preparation.of(cfg), cfg.model.get("channels") or {}
    return {
        domain: [preparation.read(path, channels.get(domain, 3)) for path in paths[:count]]
        for domain, paths in find_images(cfg, "test").items()
    }


def _speed(plan: Plan, run: Run) -> tuple[float, int | None]:
    """Seconds of an iteration and, of ours, MB; of one recipe the same for all sets and seeds."""
    path = plan.work_dir / "speed" / f"{run.recipe}.json"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as name:
            measure = run_of_mmgens if plan.recipes[run.recipe] == MMGEN else measure_run
            found = measure(plan.config(run), Path(name), MEASURED)
        with replacing(path) as part:
            part.write_text(json.dumps(found), "utf-8")
    found = json.loads(path.read_text("utf-8"))
    return found["s"], found.get("mb")


def _train(plan: Plan, run: Run, total: int) -> dict[str, Path]:
    """The checkpoints of a run: after the fixed iterations, and after the fixed minutes."""
    folder = plan.folder_of(run)
    folder.mkdir(parents=True, exist_ok=True)
    cfg, saved = plan.config(run), dict(interval=plan.iterations)
    cfg.merge_from_dict(dict(total_iters=total, evaluation=None))
    cfg.checkpoint_config = saved
    (folder / "config.py").write_text(config_text(cfg), "utf-8")
    if plan.recipes[run.recipe] == MMGEN:
        falls = dict(start=total // 2, interval=max(1, total // 200))
        changes = dict(
            total_iters=total, checkpoint_config=dict(saved, by_epoch=False), seed=run.seed,
            lr_config=dict(policy="Linear", by_epoch=False, target_lr=0, **falls),
        )  # fmt: skip
        _run_mmgen(plan, run, folder, changes)
    else:
        _run(folder, ["-m", "mmgen_ext", "train", str(folder / "config.py"), "--work-dir",
                      str(folder / "run"), "--resume", "auto"])  # fmt: skip
    names = dict(iterations=plan.iterations, minutes=total)
    # mmgen has a folder of its own for them.
    return {k: next((folder / "run").rglob(f"iter_{n}.pth")) for k, n in names.items()}


def _run_mmgen(plan: Plan, run: Run, folder: Path, changes: Mapping) -> None:
    """Train with mmgen from the start: it cannot go on exactly where it stopped."""
    path = folder / "mmgen.py"
    path.write_text(mmgens_training(plan.config(run), changes), "utf-8")
    shutil.rmtree(folder / "run", ignore_errors=True)
    _run(folder, [*MMGENS_TRAIN, str(path), "--work-dir", str(folder / "run"), "--no-validate",
                  "--seed", str(run.seed)])  # fmt: skip


def _run(folder: Path, arguments: Sequence[str]) -> None:
    """Run Python with arguments; what it prints goes to train.log. Ctrl-C and SIGTERM pass on."""
    log = folder / "train.log"
    own_group = os.name == "posix"  # so that it hears of Ctrl-C once, from here
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    stopped = []

    def pass_on(number: int) -> None:
        stopped.append(number)
        if own_group:
            process.send_signal(number)

    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, *arguments], stdout=out, stderr=out, env=environment,
            start_new_session=own_group,
        )  # fmt: skip
        with signals_noted(pass_on):
            failed = process.wait()
    if stopped:
        raise KeyboardInterrupt if stopped[0] == signal.SIGINT else SystemExit(128 + stopped[0])
    if failed:
        raise ValueError(f"a training failed; the end of {log} says why")
