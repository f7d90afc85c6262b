"""How fast pictures are loaded, and what a data set costs at the start as it grows."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
from matplotlib.figure import Figure
from mmcv import Config
from prettytable import PrettyTable
from tqdm import tqdm

from .benchmark_growth import save_plot
from .benchmark_run import run_python, temporary_folder, with_pictures
from .config import load_config
from .datasets.loader import build_loader
from .training.build import build_train_dataset
from .training.train import choose_seed


def loader(
    config: str | os.PathLike,
    images: Sequence[int] = (100, 1000, 10_000, 100_000),
    workers: Sequence[int] = (0, 1, 2, 4),
    size: int = 256,
    seconds: float = 5.0,
    plot: str | os.PathLike | None = None,
    options: Mapping | None = None,
) -> str:
    """Start-up and memory of the data set by its pictures; samples per second by the workers.

    Args:
        config: Config of ours; the pictures are random, half of them in each domain.
        images: Pictures of both domains together, 72 pixels a side.
        workers: Loader processes; of pictures of `size`.
        size: Side of these.
        seconds: Time for each number of workers.
        plot: PNG to write.
        options: Overrides of the config.

    Returns:
        Two tables for people, and one line of JSON.
    """
    cfg = load_config(config, options)
    choose_seed(cfg, None)
    starts = {number: _start_up(cfg, number) for number in tqdm(sorted(images), unit="data set")}
    table = PrettyTable(["images", "first scan s", "start s", "MB"])
    for number, found in starts.items():
        table.add_row([number, f"{found['first_s']:.2f}", f"{found['s']:.2f}", found["mb"]])
    rates = _rates(cfg, workers, size, seconds)
    speeds = PrettyTable(["workers", "samples/s", f"cached ({size} x {size})"])
    for number, row in rates.items():
        speeds.add_row([number, *(f"{rate:.0f}" for rate in row)])
    if plot:
        _plot_start(starts, Path(plot))
    return f"{table}\n{speeds}\n{json.dumps(dict(start=starts, samples_per_s=rates))}"


def _start_up(cfg: Config, number: int) -> dict:
    """Seconds to build the data set in a new process, the first time and later, and its memory."""
    code = "import sys; from mmgen_ext import benchmark_loader as b; b.start_up(*sys.argv[1:])"
    with temporary_folder() as folder:
        changed = with_pictures(cfg, folder / "data", number // 2, 72, 1)
        path = folder / "config.py"
        path.write_text(changed.pretty_text, "utf-8")
        first, later = (json.loads(run_python(["-c", code, str(path)])) for _ in range(2))
    return dict(first_s=first["s"], s=later["s"], mb=later["mb"])


def start_up(config: str) -> None:
    """Print the seconds until the first sample, and the MB that the data set takes, as JSON."""
    cfg, process = load_config(config), psutil.Process()
    before, begin = process.memory_info().rss, time.perf_counter()
    choose_seed(cfg, None)
    dataset = build_train_dataset(cfg)
    next(iter(build_loader(dataset, workers_per_gpu=0)))
    taken = time.perf_counter() - begin
    print(json.dumps(dict(s=taken, mb=(process.memory_info().rss - before) // 2**20)))


def _rates(cfg: Config, workers: Sequence[int], size: int, seconds: float) -> dict[int, list]:
    """Samples per second, decoded each time and from the cache, by the number of workers."""
    with temporary_folder() as folder:
        changed = with_pictures(cfg, folder / "data", 64, size, 1)
        rates: dict[int, list] = {number: [] for number in workers}
        for cache in (False, True):
            changed.data.train.cache = cache
            dataset = build_train_dataset(changed)
            for number, row in rates.items():
                stream = iter(build_loader(dataset, workers_per_gpu=number))
                for _ in range(20):  # workers have started, and their queues are full
                    next(stream)
                taken, begin = 0, time.perf_counter()
                while time.perf_counter() - begin < seconds:
                    next(stream)
                    taken += 1
                row.append(taken / (time.perf_counter() - begin))
    return rates


def _plot_start(starts: Mapping[int, dict], path: Path) -> None:
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    numbers = list(starts)
    left.plot(numbers, [starts[n]["first_s"] for n in numbers], "o-", label="first scan")
    left.plot(numbers, [starts[n]["s"] for n in numbers], "o-", label="later")
    right.plot(numbers, [max(starts[n]["mb"], 1) for n in numbers], "o-")
    left.set(xlabel="images", ylabel="seconds until the first sample", xscale="log", yscale="log")
    right.set(xlabel="images", ylabel="MB of the data set", xscale="log", yscale="log")
    left.legend()
    for axis in (left, right):
        axis.grid(alpha=0.3)
    save_plot(figure, path)
