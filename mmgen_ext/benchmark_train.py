"""How fast a training step is, beside mmgen's own of the same networks, and beside the machine."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping

import torch
from mmcv import Config
from mmgen.core import build_optimizers
from mmgen.models import build_model
from prettytable import PrettyTable
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from .benchmark_mmgen import mmgens_model
from .benchmark_run import (
    PARTS,
    Stopwatch,
    device_clock,
    interleaved,
    measure_run,
    temporary_folder,
    time_networks,
    with_pictures,
)
from .config import is_ours, load_config
from .device import pick_device
from .inference.sizing import peak_memory
from .models import layers
from .models.chain import plain_layers
from .models.precision import PRECISIONS
from .training.speed import make_fast
from .training.update import Update
from .words import counted

THEIRS = "mmgen"


class Contender:
    """A model and its optimizers, which take the step that its library's runner takes.

    Args:
        kind: 'mmgen', or a precision of ours.
        cfg: A config of ours.
        device: Where it trains.
    """

    def __init__(self, kind: str, cfg: Config, device: torch.device):
        torch.manual_seed(0)
        if kind == THEIRS:
            self.model = build_model(mmgens_model(cfg), dict(buffer_size=50))
            optimizer = {
                name: {k: v for k, v in part.items() if k not in ("fused", "foreach")}
                for name, part in cfg.optimizer.to_dict().items()
            }
            self.options = dict(running_status=dict(iteration=0))
        else:
            self.model = build_model(cfg.model)
            chosen = Config({**cfg._cfg_dict.to_dict(), "precision": kind})
            make_fast(self.model, chosen, device)
            optimizer = cfg.optimizer.to_dict()
            self.options = dict(step=Update())
        self.model.to(device).train()
        self.optimizers = build_optimizers(self.model, optimizer)

    def step(self, batch: dict) -> dict:
        """One iteration."""
        return self.model.train_step(batch, self.optimizers, **self.options)


def random_batch(cfg: Config, size: int, batch: int, device: torch.device) -> dict:
    """`img_<domain>` of uniform noise."""
    channels = cfg.model.get("channels") or {}
    return {
        f"img_{domain}": torch.rand(batch, channels.get(domain, 3), size, size, device=device) * 2
        - 1
        for domain in cfg.model.domains
    }


class Turns:
    """A process of its own for a contender, which takes a step when asked to.

    So each library has its memory, and its way of asking the system for it, to itself.

    Args:
        *args: JSON values: see `serve`.
    """

    def __init__(self, *args):
        code = (
            "import json, sys; from mmgen_ext import benchmark_train as b\n"
            "b.serve(*json.loads(sys.argv[1]))"
        )
        # A pipe that nobody reads would stop the process when it is full.
        self.errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, json.dumps(args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def ask(self, *what: object) -> object:
        """The answer to (name of a function of `serve`, its arguments).

        Raises:
            ValueError: If the process has failed.
        """
        try:
            print(json.dumps(what), file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()
        except OSError:
            answer = ""
        if not answer:
            self.process.communicate()
            self.errors.seek(0)
            errors = self.errors.read().strip().splitlines()
            raise ValueError(f"a measured process failed: {(errors or ['it ended'])[-1]}")
        return json.loads(answer)

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close(), self.errors.close()


def serve(
    kind: str, config: str, size: int, batch: int, device: str, threads: int, options: Mapping
) -> None:
    """Build a contender, and answer the questions on standard input, a line of JSON each."""
    answers, sys.stdout = sys.stdout, sys.stderr
    torch.set_num_threads(threads)
    cfg, chosen = load_config(config, options), pick_device(device)
    contender = Contender(kind, cfg, chosen)
    data = random_batch(cfg, size, batch, chosen)
    functions = {
        "step": lambda: _timed(lambda: contender.step(data), chosen),
        "parts": lambda rounds: parts(contender, data, rounds, chosen),
        "flops": lambda: count_flops(contender, data),
        "memory": lambda: _peak_mb(chosen),
    }
    if kind != THEIRS:
        run, flops = largest_convolution(cfg, size, batch, kind, chosen)
        functions["rate"] = lambda: flops / _timed(run, chosen)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(functions[name](*arguments)), file=answers, flush=True)


def _timed(run: Callable, device: torch.device) -> float:
    clock = _clock(device)
    begin = clock()
    run()
    return clock() - begin


def _peak_mb(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) // 2**20
    return peak_memory() // 2**20


def step(
    config: str | os.PathLike,
    size: int = 128,
    batch: int = 1,
    rounds: int = 10,
    device: str = "auto",
    options: Mapping | None = None,
) -> str:
    """Seconds of a step of mmgen's and of ours, and of the machine's least; all take turns.

    With one thread on a CPU the time is that of the processor, which other programs do not disturb.

    Args:
        config: Config of ours with the paper's networks; its weights and pictures are random.
        size: Side of the pictures.
        batch: Pictures of each domain.
        rounds: How often each is measured; medians count.
        device: As for training.
        options: Overrides of the config.

    Returns:
        A table for people, and one line of JSON.
    """
    cfg, chosen = load_config(config, options), pick_device(device)
    if not is_ours(cfg.model):
        raise ValueError(f"{config} is a config of mmgen's; choose one of mmgen_ext's")
    mmgens_model(cfg)  # or a sentence before anything is measured
    kinds = [THEIRS, "fp32", "bf16", *(["fp16"] if chosen.type == "cuda" else [])]
    threads = torch.get_num_threads()
    result: dict = dict(
        threads=threads, torch=torch.__version__, device=str(chosen), size=size, batch=batch,
        rounds=rounds,
    )  # fmt: skip
    with contextlib.ExitStack() as stack:
        turns = {}
        for kind in kinds:
            arguments = kind, str(config), size, batch, device, threads, dict(options or {})
            turns[kind] = Turns(*arguments)
            stack.callback(turns[kind].close)
        runs = {kind: lambda t=turn: t.ask("step") for kind, turn in turns.items()}
        runs |= {f"rate {k}": lambda t=turns[k]: t.ask("rate") for k in kinds[1:]}
        for run in (*runs.values(), *runs.values()):
            run()  # Warm.
        medians = interleaved(runs, rounds)
        for kind, turn in turns.items():
            result[f"{kind}_s"] = medians[kind]
            result[f"{kind}_mb"] = turn.ask("memory")
        work = turns["fp32"].ask("flops")
        result[f"{THEIRS}_parts"] = turns[THEIRS].ask("parts", max(3, rounds // 3))
    for kind in kinds[1:]:
        result[f"{kind}_parts"] = run_parts(cfg, kind, size, batch, max(3, rounds // 3), device)
    result["gflop"] = work / 1e9
    for kind in kinds[1:]:
        result[f"rate_{kind}_gflops"] = medians[f"rate {kind}"] / 1e9
        result[f"floor_{kind}_s"] = work / medians[f"rate {kind}"]
    return f"{_step_table(kinds, result)}\n{json.dumps(result)}"


def _step_table(kinds: list[str], result: Mapping) -> PrettyTable:
    head = ["", "s/step", "x mmgen", "of floor", "peak MB"]
    table = PrettyTable([*head, *PARTS, "rest"])
    table.title = (
        f"{result['size']} x {result['size']}, batch {result['batch']}, {result['device']}, "
        f"{counted(result['threads'], 'thread')}, PyTorch {result['torch']}, "
        f"median of {result['rounds']}"
    )
    for kind in kinds:
        taken = result[f"{kind}_s"]
        floor = result.get(f"floor_{kind}_s")
        share = f"{floor / taken:.0%}" if floor else ""
        row = [kind, f"{taken:.3f}", f"{result['mmgen_s'] / taken:.2f}", share]
        shares = [f"{value:.1%}" for value in result[f"{kind}_parts"].values()]
        table.add_row([*row, result[f"{kind}_mb"], *shares])
    for kind in kinds[1:]:
        row = [f"floor {kind}", f"{result[f'floor_{kind}_s']:.3f}"]
        table.add_row([*row, *[""] * (len(table.field_names) - len(row))])
    return table


def run_parts(
    cfg: Config, kind: str, size: int, batch: int, iters: int, device: str
) -> dict[str, float]:
    """Shares of an iteration of tools/train.py, each of which is logged."""
    with temporary_folder() as folder:
        changed = with_pictures(cfg, folder / "data", 8, size, batch)
        changed.precision = kind
        return measure_run(changed, folder, iters, device=device)["parts"]


def count_flops(contender: Contender, data: dict) -> int:
    """FLOPs of a step of the plain form, by torch's counter."""
    together, layers.is_per_image = layers.is_per_image, lambda network: False
    try:
        with plain_layers(), FlopCounterMode(display=False) as counter:
            contender.step(data)
    finally:
        layers.is_per_image = together
    return counter.get_total_flops()


def largest_convolution(
    cfg: Config, size: int, batch: int, kind: str, device: torch.device
) -> tuple[Callable, int]:
    """The 3 x 3 convolution of the residual blocks, some times, and its FLOPs."""
    channels, side, times = 4 * cfg.model.generator.get("base_channels", 64), size // 4, 20
    form = dict(device=device, dtype=PRECISIONS[kind])
    last = dict(memory_format=torch.channels_last)
    x = torch.randn(2 * batch, channels, side + 2, side + 2, **form).to(**last)
    weight = torch.randn(channels, channels, 3, 3, **form).to(**last)

    @torch.no_grad()
    def run() -> None:
        for _ in range(times):
            nn.functional.conv2d(x, weight)

    return run, times * 2 * 9 * channels**2 * 2 * batch * side**2


def _clock(device: torch.device) -> Callable[[], float]:
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    return time.thread_time if alone else device_clock(device)


def parts(contender: Contender, data: dict, rounds: int, device: torch.device) -> dict[str, float]:
    """Shares of mmgen's step, which knows neither data nor logs."""
    watch = Stopwatch(device_clock(device))
    with contextlib.ExitStack() as stack:
        time_networks(watch, contender.model, contender.optimizers, stack)
        stack.enter_context(watch.on(contender, "step", "whole"))
        for _ in range(rounds):
            contender.step(data)
    return watch.shares()
