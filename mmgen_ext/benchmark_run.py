"""A real run of tools/train.py, measured: seconds, memory, and where an iteration's time goes."""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from mmcv import Config

from .config import load_config, plain_data
from .inference.sizing import peak_memory
from .pictures import resize_image, write_image
from .training import distributed
from .training.train import build_runner, choose_seed

SKIPPED = 2  # iterations, the first ones, that do not count
PARTS = ("data", "forward", "backward", "optimizer", "logging")


class Stopwatch:
    """Notes how long functions take.

    Args:
        clock: Seconds now.
    """

    def __init__(self, clock: Callable[[], float]):
        self.clock = clock
        self.marks: list[tuple[str, float]] = []

    @contextlib.contextmanager
    def on(self, owner: object, name: str, part: str) -> Iterator[None]:
        """Inside, `owner.name` is timed as `part`."""
        original = getattr(owner, name)

        @functools.wraps(original)
        def run(*args, **kwargs):
            begin = self.clock()
            try:
                return original(*args, **kwargs)
            finally:
                self.marks.append((part, self.clock() - begin))

        setattr(owner, name, run)
        try:
            yield
        finally:
            setattr(owner, name, original)

    def shares(self, skipped: int = 0) -> dict[str, float]:
        """Shares of the iterations' time, which are the marks 'whole'; what is left is 'rest'."""
        rounds: list[dict[str, float]] = [{}]
        for part, seconds in self.marks:
            rounds[-1][part] = rounds[-1].get(part, 0.0) + seconds
            if part == "whole":
                rounds.append({})
        counted = rounds[skipped:-1]
        whole = sum(r["whole"] for r in counted)
        found = {part: sum(r.get(part, 0.0) for r in counted) / whole for part in PARTS}
        return {**found, "rest": 1 - sum(found.values())}


def time_networks(
    watch: Stopwatch, model: torch.nn.Module, optimizers: dict, stack: contextlib.ExitStack
) -> None:
    """Time forward, backward and optimizers of a model of ours or mmgen's until `stack` ends."""
    stack.enter_context(watch.on(torch.Tensor, "backward", "backward"))
    for network in (*model.generators.values(), *model.discriminators.values()):
        stack.enter_context(watch.on(network, "forward", "forward"))
    for optimizer in optimizers.values():
        stack.enter_context(watch.on(optimizer, "step", "optimizer"))


def device_clock(device: torch.device) -> Callable[[], float]:
    """Seconds now, when all that was asked of the device is done."""
    if device.type != "cuda":
        return time.perf_counter

    def of_gpu() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return of_gpu


def run_measured(config: str, work_dir: str, device: str) -> None:
    """Train in this process, and write what was measured to work_dir/measured.json."""
    cfg, begin = load_config(config), time.perf_counter()
    choose_seed(cfg, None)
    with distributed.process_group("none", device) as chosen, contextlib.ExitStack() as stack:
        runner = build_runner(cfg, work_dir, None, chosen, deterministic=False, validate=False)
        watch = Stopwatch(device_clock(chosen))
        time_networks(watch, runner.model.module, runner.optimizer, stack)
        for name, part in (("_fetch", "data"), ("call_hook", "logging"), ("train", "whole")):
            stack.enter_context(watch.on(runner, name, part))
        started = time.perf_counter() - begin
        runner.run()
        if distributed.rank() == 0:
            taken = [seconds for part, seconds in watch.marks if part == "whole"][SKIPPED:]
            peak = peak_memory()
            if chosen.type == "cuda":
                peak = torch.cuda.max_memory_allocated(chosen)
            found = dict(
                s=statistics.median(taken), mb=peak // 2**20, start_s=started,
                parts=watch.shares(SKIPPED), device=str(chosen),
            )  # fmt: skip
            Path(work_dir, "measured.json").write_text(json.dumps(found), "utf-8")


def measure_run(
    cfg: Config, folder: Path, iters: int, ranks: int = 1, device: str = "auto"
) -> dict:
    """What `run_measured` finds in processes of its own.

    Args:
        cfg: Config with its data; logged at each iteration, neither evaluated nor saved.
        folder: For its files.
        iters: Iterations that count.
        ranks: Processes, with torchrun if there are several.
        device: As for training.

    Raises:
        ValueError: If it fails.
    """
    path, work_dir = folder / "config.py", folder / "run"
    changes = dict(quiet(), total_iters=iters + SKIPPED, gallery=None)
    content = {**plain_data(cfg._cfg_dict.to_dict()), **changes}
    path.write_text("\n".join(f"{k} = {v!r}" for k, v in content.items()), "utf-8")
    code = "import sys; from mmgen_ext import benchmark_run as b; b.run_measured(*sys.argv[1:])"
    command = ["-c", code, str(path), str(work_dir), device]
    if ranks > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"]
        command = [*launcher, "--no-python", sys.executable, *command]
    run_python(command, max(1, torch.get_num_threads() // ranks))
    return json.loads((work_dir / "measured.json").read_text("utf-8"))


def interleaved(
    runs: Mapping[str, Callable[[], float]], rounds: int, every: Mapping[str, int] | None = None
) -> dict[str, float]:
    """Median of what each returns; all take turns, so that what disturbs one disturbs all.

    Args:
        runs: By name; what is slow at first has run already.
        rounds: How many.
        every: Of those that run less often, in which rounds: 8 for each eighth.
    """
    values: dict[str, list[float]] = {title: [] for title in runs}
    for i in range(rounds):
        for title, run in runs.items():
            if i % (every or {}).get(title, 1) == 0:
                values[title].append(run())
    return {title: statistics.median(taken) for title, taken in values.items()}


def quiet() -> dict:
    """Of a run that only computes: every iteration is logged, and nothing else happens."""
    hooks = dict(log_config=dict(interval=1, hooks=[dict(type="TextLoggerHook")]))
    return dict(hooks, custom_hooks=[], checkpoint_config=None, evaluation=None)


def run_python(arguments: list[str], threads: int | None = None) -> str:
    """Run Python with arguments, with as many threads as here for None; return what it prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads or torch.get_num_threads())}
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment
    )
    if done.returncode:
        raise ValueError(f"a measured process failed: {done.stderr.strip()[-600:]}")
    return done.stdout


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that goes, with what is remembered of its pictures, here and in processes."""
    before = os.environ.copy()
    # Windows deletes nothing that is open, as cached pixels are.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        os.environ["MMGEN_EXT_CACHE"] = str(Path(name, "cache"))
        try:
            yield Path(name)
        finally:
            del os.environ["MMGEN_EXT_CACHE"]
            os.environ |= before


def with_pictures(cfg: Config, root: Path, number: int, size: int, batch: int) -> Config:
    """The config with a data set of its own.

    Args:
        cfg: A config of ours.
        root: Folder to write it to.
        number: Training pictures of each domain, JPEGs.
        size: Their side, and that of the crops.
        batch: Pictures of each domain in a pass.
    """
    channels = cfg.model.get("channels") or {}
    for letter, domain in zip("AB", cfg.model.domains, strict=True):
        for seed, (phase, count) in enumerate((("train", number), ("test", 2))):
            make_pictures(root / (phase + letter), count, size, channels.get(domain, 3), seed)
    steps = [
        dict(type="mmgen_ext.LoadImage"),
        dict(type="mmgen_ext.Resize", size=size),
        dict(type="mmgen_ext.RandomFlip"),
        dict(type="mmgen_ext.ToTensor"),
    ]
    changed = copy.deepcopy(cfg)
    changed.data.samples_per_gpu = batch
    for phase in {"train", "test"} & set(changed.data):
        changed.data[phase].update(data_root=str(root), pipeline=steps)
    return changed


def make_pictures(folder: Path, number: int, size: int, channels: int, seed: int) -> None:
    """Write JPEGs of random blots."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for i in range(number):
        blots = rng.integers(0, 256, (8, 8, channels), dtype=np.uint8)
        write_image(folder / f"{i:06}.jpg", resize_image(blots, size, size, "bicubic"))
