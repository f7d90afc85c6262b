"""How fast a training step is, beside mmgen's own of the same networks, and beside the machine."""

from __future__ import annotations

import json
import os
import re
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import torch
from mmcv import Config
from mmgen.core import build_optimizers
from mmgen.models import build_model
from prettytable import PrettyTable
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from .config import is_ours, load_config, plain_data
from .device import pick_device
from .inference.sizing import peak_memory
from .models import layers
from .models.chain import plain_layers
from .models.precision import PRECISIONS
from .training.speed import make_fast
from .training.update import Update

THEIRS = "mmgen"


def mmgens_model(cfg: Config) -> dict:
    """Config of mmgen's CycleGAN with the networks and losses of ours.

    Raises:
        ValueError: If mmgen has no such networks.
    """
    model = cfg.model.to_dict()
    domains = list(model["domains"])
    networks = {}
    for name in ("generator", "discriminator"):
        network = {"in_channels": 3, **model[name]}
        norm, upsample = network.pop("norm", "instance"), network.pop("upsample", "deconv")
        network.pop("recompute", None)
        network["type"] = network["type"].removeprefix("mmgen_ext.")
        if upsample != "deconv" or norm not in ("instance", "batch"):
            raise ValueError(
                f"mmgen has no {name} with upsample={upsample!r} and norm={norm!r} to compare "
                f"with; choose a config of the paper's networks"
            )
        network["norm_cfg"] = dict(type="IN" if norm == "instance" else "BN")
        networks[name] = network
    networks["generator"].setdefault("out_channels", 3)
    weights = {
        "cycle": ("cycle_loss", model.get("cycle_weight", 10.0)),
        "identity": ("id_loss", model.get("identity_weight", 5.0)),
    }
    losses = [
        dict(
            type="L1Loss",
            loss_weight=weight,
            loss_name=loss,
            data_info=dict(pred=f"{what}_{domain}", target=f"real_{domain}"),
            reduction="mean",
        )
        for what, (loss, weight) in weights.items()
        for domain in domains
        if weight
    ]
    return dict(
        type="CycleGAN",
        **networks,
        gan_loss=dict(type="GANLoss", gan_type="lsgan"),
        default_domain=domains[1],
        reachable_domains=domains,
        related_domains=domains,
        gen_auxiliary_loss=losses,
    )


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
    data = random_batch(cfg, size, batch, chosen)
    kinds = [THEIRS, "fp32", "bf16", *(["fp16"] if chosen.type == "cuda" else [])]
    contenders = {kind: Contender(kind, cfg, chosen) for kind in kinds}
    runs: dict[str, Callable] = {
        kind: lambda c=contender: c.step(data) for kind, contender in contenders.items()
    }
    work = count_flops(contenders["fp32"], data)
    convolutions = {f"rate {kind}": _largest_convolution(cfg, size, batch, kind, chosen)
                    for kind in kinds if kind != THEIRS}  # fmt: skip
    times = interleaved({**runs, **{key: run for key, (run, _) in convolutions.items()}},
                        rounds, chosen)  # fmt: skip
    result = dict(
        threads=torch.get_num_threads(), torch=torch.__version__, device=str(chosen), size=size,
        batch=batch, rounds=rounds, gflop=work / 1e9,
    )  # fmt: skip
    for key, (_, flops) in convolutions.items():
        kind = key.split()[1]
        result[f"rate_{kind}_gflops"] = flops / times[key] / 1e9
        result[f"floor_{kind}_s"] = work * times[key] / flops
    for kind in kinds:
        result[f"{kind}_s"] = times[kind]
        result[f"{kind}_parts"] = parts(contenders[kind], data, max(3, rounds // 3), chosen)
        result[f"{kind}_mb"] = memory_of_process(config, kind, size, batch, device, options)
    return f"{_step_table(kinds, result)}\n{json.dumps(result)}"


def _step_table(kinds: list[str], result: Mapping) -> PrettyTable:
    table = PrettyTable(["", "s/step", "x mmgen", "of floor", "peak MB", "forward", "backward",
                         "optimizer", "rest"])  # fmt: skip
    table.title = (
        f"{result['size']} x {result['size']}, batch {result['batch']}, {result['device']}, "
        f"{result['threads']} threads, PyTorch {result['torch']}, median of {result['rounds']}"
    )
    for kind in kinds:
        taken = result[f"{kind}_s"]
        floor = result.get(f"floor_{kind}_s")
        share = f"{floor / taken:.0%}" if floor else ""
        row = [kind, f"{taken:.3f}", f"{result['mmgen_s'] / taken:.2f}", share]
        shares = [f"{value:.1%}" for value in result[f"{kind}_parts"].values()]
        table.add_row([*row, result[f"{kind}_mb"], *shares])
    for kind in kinds[1:]:
        table.add_row([f"floor {kind}", f"{result[f'floor_{kind}_s']:.3f}", *[""] * 7])
    return table


def count_flops(contender: Contender, data: dict) -> int:
    """FLOPs of a step of the plain form, by torch's counter."""
    together, layers.is_per_image = layers.is_per_image, lambda network: False
    try:
        with plain_layers(), FlopCounterMode(display=False) as counter:
            contender.step(data)
    finally:
        layers.is_per_image = together
    return counter.get_total_flops()


def _largest_convolution(
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
    def of_gpu() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    if device.type == "cuda":
        return of_gpu
    return time.thread_time if torch.get_num_threads() == 1 else time.perf_counter


def interleaved(
    runs: Mapping[str, Callable], rounds: int, device: torch.device
) -> dict[str, float]:
    """Median seconds of each; all take turns, so that what disturbs one disturbs all."""
    clock = _clock(device)
    times: dict[str, list[float]] = {title: [] for title in runs}
    for run in runs.values():
        run()  # Warm.
    for _ in range(rounds):
        for title, run in runs.items():
            begin = clock()
            run()
            times[title].append(clock() - begin)
    return {title: statistics.median(taken) for title, taken in times.items()}


def parts(contender: Contender, data: dict, rounds: int, device: torch.device) -> dict[str, float]:
    """Shares of a step: forward, backward, optimizer; what is left is losses and pools."""
    clock, taken, whole = _clock(device), dict(forward=0.0, backward=0.0, optimizer=0.0), 0.0

    @contextmanager
    def timed(owner: object, name: str, part: str) -> Iterator[None]:
        original = getattr(owner, name)

        def run(*args, **kwargs):
            begin = clock()
            try:
                return original(*args, **kwargs)
            finally:
                taken[part] += clock() - begin

        setattr(owner, name, run)
        try:
            yield
        finally:
            setattr(owner, name, original)

    model = contender.model
    networks = [*model.generators.values(), *model.discriminators.values()]
    for _ in range(rounds):
        begin = clock()
        with (
            timed(torch.Tensor, "backward", "backward"),
            _all(
                [timed(network, "forward", "forward") for network in networks]
                + [timed(o, "step", "optimizer") for o in contender.optimizers.values()]
            ),
        ):
            contender.step(data)
        whole += clock() - begin
    shares = {name: value / whole for name, value in taken.items()}
    return {**shares, "rest": 1 - sum(shares.values())}


@contextmanager
def _all(managers: list) -> Iterator[None]:
    from contextlib import ExitStack

    with ExitStack() as stack:
        for manager in managers:
            stack.enter_context(manager)
        yield


def memory_of_process(
    config: str | os.PathLike, kind: str, size: int, batch: int, device: str,
    options: Mapping | None,
) -> int:  # fmt: skip
    """Peak memory of a process that takes three steps, in MB (of the GPU's, if it is on one)."""
    code = (
        "import json, sys; from mmgen_ext import benchmark_train as b\n"
        "print(b.memory(*json.loads(sys.argv[1])))"
    )
    arguments = json.dumps([str(config), kind, size, batch, device, dict(options or {})])
    return int(_run(["-c", code, arguments]).split()[-1])


def memory(config: str, kind: str, size: int, batch: int, device: str, options: Mapping) -> int:
    """Peak memory of this process after three steps, in MB."""
    cfg, chosen = load_config(config, options), pick_device(device)
    contender = Contender(kind, cfg, chosen)
    data = random_batch(cfg, size, batch, chosen)
    for _ in range(3):
        contender.step(data)
    if chosen.type == "cuda":
        return torch.cuda.max_memory_allocated(chosen) // 2**20
    return peak_memory() // 2**20


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
        theirs.write_text(_mmgens_run(cfg, iters), "utf-8")
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


def _mmgens_run(cfg: Config, iters: int) -> str:
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
        code = "import sys; from mmgen_ext import benchmark_train as b; b.run_mmgens(sys.argv[1:])"
        _run(["-c", code, *arguments])
    else:
        _run([str(tool), *arguments])


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


def _run(arguments: list[str]) -> str:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"a measured process failed: {done.stderr.strip()[-600:]}")
    return done.stdout
