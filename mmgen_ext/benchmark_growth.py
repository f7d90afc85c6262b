"""How seconds and memory grow with the pictures' size, the batch and the processes."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
import torch
from matplotlib.figure import Figure
from mmcv import Config
from prettytable import PrettyTable
from tqdm import tqdm

from .benchmark_run import measure_run, temporary_folder, with_pictures
from .config import load_config
from .files import replacing

SAFE = 0.85  # of the free memory


class Point(NamedTuple):
    """One measured run.

    Attributes:
        precision: 'fp32' or 'bf16'.
        ranks: Processes.
        size: Side of the pictures.
        batch: Pictures of each domain in a process' pass.
    """

    precision: str
    ranks: int
    size: int
    batch: int


def points(
    sizes: Sequence[int], batches: Sequence[int], ranks: Sequence[int], precisions: Sequence[str]
) -> Iterator[Point]:
    """Each size with the first batch, and each batch with the first size; small ones first."""
    for precision, rank in itertools.product(precisions, ranks):
        for size in sorted(sizes):
            yield Point(precision, rank, size, batches[0])
        for batch in batches[1:]:
            yield Point(precision, rank, sizes[0], batch)


def growth(
    config: str | os.PathLike,
    sizes: Sequence[int] = (128, 64, 256, 512),
    batches: Sequence[int] = (1, 2, 4, 8),
    ranks: Sequence[int] = (1, 2),
    precisions: Sequence[str] = ("fp32", "bf16"),
    iters: int = 2,
    plot: str | os.PathLike | None = None,
    device: str = "auto",
    options: Mapping | None = None,
) -> None:
    """Print seconds and memory of iterations of tools/train.py; memory is of the first process.

    A table for people, and one line of JSON; of what was measured, if the rest is stopped or fails.

    Args:
        config: Config of ours; weights and pictures are random.
        sizes: Sides; the first is that of the batches.
        batches: Pictures of each domain; the first is that of the sizes.
        ranks: Numbers of processes.
        precisions: 'fp32', 'bf16'.
        iters: Iterations of each that count.
        plot: PNG to write.
        device: As for training.
        options: Overrides of the config.
    """
    cfg = load_config(config, options)
    todo = list(points(sizes, batches, ranks, precisions))
    found: dict[Point, dict | None] = {}
    try:
        for point in tqdm(todo, unit="run"):
            large = too_large(point, found, device)
            found[point] = None if large else _measure(cfg, point, iters, device)
    finally:
        if plot and found:
            _plot_growth(found, sizes[0], batches[0], Path(plot))
        if found:
            print(_growth_report(found))


def _growth_report(found: Mapping[Point, dict | None]) -> str:
    table = PrettyTable([*Point._fields, "s/iteration", "peak MB"])
    for point, result in found.items():
        shown = (
            ["not tried", "too large"] if result is None else [f"{result['s']:.2f}", result["mb"]]
        )
        table.add_row([*point, *shown])
    rows = [{**point._asdict(), **(result or {})} for point, result in found.items()]
    return f"{table}\n{json.dumps(dict(threads=torch.get_num_threads(), runs=rows))}"


def _measure(cfg: Config, point: Point, iters: int, device: str) -> dict:
    with temporary_folder() as folder:
        changed = with_pictures(cfg, folder / "data", 8, point.size, point.batch)
        changed.precision = point.precision
        return measure_run(changed, folder, iters, point.ranks, device)


def too_large(
    point: Point, found: Mapping[Point, dict | None], device: str, free: int | None = None
) -> bool:
    """Whether a run would not fit: memory grows with the pixels of a pass as from the last two.

    Args:
        point: The run.
        found: What runs before it took.
        device: As for training; on others than CPUs everything is tried.
        free: Bytes of memory; None for what this machine has now.
    """
    if torch.device(device if device != "auto" else "cpu").type != "cpu":
        return False
    same = {
        p.size**2 * p.batch: r["mb"]
        for p, r in found.items()
        if r is not None and p[:2] == point[:2]
    }
    if len(same) < 2:
        return False
    (a, low), (b, high) = sorted(same.items())[-2:]
    needed = high + (high - low) / (b - a) * (point.size**2 * point.batch - b)
    free = psutil.virtual_memory().available if free is None else free
    return needed * point.ranks > SAFE * free / 2**20


def _plot_growth(found: Mapping[Point, dict | None], size: int, batch: int, path: Path) -> None:
    figure = Figure(figsize=(9, 6.5), layout="constrained")
    axes = figure.subplots(2, 2)
    kinds = sorted({point[:2] for point in found}, reverse=True)
    ways = (
        ("size", "side of the pictures", lambda p: p.batch == batch),
        ("batch", f"pictures in a pass, {size} x {size}", lambda p: p.size == size),
    )
    for column, (field, label, chosen) in enumerate(ways):
        for precision, ranks in kinds:
            line = sorted(
                (getattr(p, field), r["s"], r["mb"] / 1024)
                for p, r in found.items()
                if r is not None and p[:2] == (precision, ranks) and chosen(p)
            )
            title = f"{precision}, {ranks} {'process' if ranks == 1 else 'processes'}"
            for row in range(2):
                xs, ys = [v[0] for v in line], [v[1 + row] for v in line]
                axes[row][column].plot(xs, ys, "o-", label=title)
        for row, what in enumerate(("seconds an iteration", "GiB, one process")):
            axis = axes[row][column]
            axis.set(xlabel=label, ylabel=what, xscale="log", yscale="log")
            axis.set_xticks(sorted({getattr(p, field) for p in found if chosen(p)}))
            axis.xaxis.set_major_formatter("{x:g}")
            axis.xaxis.set_minor_formatter("")
            axis.yaxis.set_major_formatter("{x:g}")
            axis.yaxis.set_minor_formatter("{x:g}")
            axis.grid(alpha=0.3)
    axes[0][0].legend()
    save_plot(figure, path)


def save_plot(figure: Figure, path: Path) -> None:
    """Write a PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
