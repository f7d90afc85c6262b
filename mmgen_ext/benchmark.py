"""How fast pictures and videos are translated, beside mmgen doing the same work in the same run."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import torch
from mmcv import Config
from mmgen.apis import init_model, sample_img2img_model
from prettytable import PrettyTable

from .benchmark_mmgen import mmgen_has, mmgens_network
from .benchmark_run import interleaved, run_python
from .checkpoint import write_checkpoint
from .config import is_ours, load_config, plain_data
from .files import shipped
from .inference.translate import translate_files
from .inference.translator import Translator
from .inference.weights import build_generators
from .words import counted


def translate(config: str | os.PathLike, sizes: Sequence[int], seconds: float) -> str:
    """Images/s of the bare network, the Translator, whole files and mmgen; memory; cold start.

    Args:
        config: Config of ours or mmgen's with a ResNet or U-Net generator; its weights are random.
        sizes: Sides of the pictures, in pixels.
        seconds: How long each contender runs, about, for each size.

    Returns:
        Tables for people.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint, theirs = prepare(config, folder)
        if theirs is None:
            raise ValueError(
                f"{config}: mmgen has no such generator to compare with; choose a config of the "
                f"paper's network, with upsample='deconv'"
            )
        tables = [_speeds(folder, checkpoint, theirs, size, seconds) for size in sizes]
        return "\n".join([*map(str, tables), str(_memory(folder, checkpoint, sizes)),
                          _cold_start(folder, checkpoint)])  # fmt: skip


def prepare(config: str | os.PathLike, folder: Path) -> tuple[Path, Config | None]:
    """A checkpoint of random weights, and mmgen's config of it, None if it has no such network."""
    cfg = load_config(config)
    torch.manual_seed(0)
    generators = build_generators(cfg.model)
    checkpoint = folder / "weights.pth"
    model = cfg.model.to_dict()
    slim = dict(model=model, test_pipeline=cfg.get("test_pipeline"))
    content = dict(state_dict=generators.state_dict(prefix="generators."), meta={})
    write_checkpoint(
        checkpoint, {**content, "mmgen_ext": dict(config=plain_data(slim), sealed=True)}
    )
    if not is_ours(cfg.model):
        return checkpoint, cfg
    # The same network, built of mmgen's own modules.
    if not mmgen_has(model["generator"]):
        return checkpoint, None
    generator = mmgens_network(model["generator"])
    generator.setdefault("out_channels", 3)
    domains = list(generators)
    return checkpoint, Config(
        dict(
            model=dict(
                type="CycleGAN",
                generator=generator,
                # Not used here, but mmgen cannot do without one.
                discriminator=dict(
                    type="PatchDiscriminator",
                    in_channels=3,
                    base_channels=4,
                    num_conv=2,
                    norm_cfg=dict(type="IN"),
                ),
                gan_loss=dict(type="GANLoss", gan_type="lsgan"),
                default_domain=domains[-1],
                reachable_domains=domains,
                related_domains=domains,
            ),
            train_cfg=None,
            test_cfg=None,
        )
    )


def mmgens_config(cfg: Config, size: int | None) -> Config:
    """Config of mmgen's with its own test pipeline at a size; None for the picture's."""
    domains = cfg.model.reachable_domains
    keys = [f"img_{domain}" for domain in domains]
    steps = [
        dict(type="LoadImageFromFile", io_backend="disk", key=key, flag="color") for key in keys
    ]
    if size:
        scale = dict(scale=(size, size), interpolation="bicubic")
        steps.append(dict(type="Resize", keys=keys, **scale))
    steps += [
        dict(type="RescaleToZeroOne", keys=keys),
        dict(type="Normalize", keys=keys, to_rgb=False, mean=[0.5] * 3, std=[0.5] * 3),
        dict(type="ImageToTensor", keys=keys),
        dict(type="Collect", keys=keys, meta_keys=[]),
    ]
    return Config({**cfg._cfg_dict.to_dict(), "test_pipeline": steps})


def _photos(folder: Path, size: int, count: int = 8) -> list[Path]:
    """Photographs of one size, as files."""
    names = ("astronaut", "coffee", "chelsea", "rocket")
    paths = []
    for i in range(count):
        image = getattr(skimage.data, names[i % len(names)])()[:, :, ::-1]
        paths.append(folder / f"{size}" / f"{i}.png")
        paths[-1].parent.mkdir(exist_ok=True)
        cv2.imwrite(str(paths[-1]), cv2.resize(np.roll(image, 40 * i, 1), (size, size)))
    return paths


def _speeds(
    folder: Path, checkpoint: Path, theirs: Config, size: int, seconds: float
) -> PrettyTable:
    paths = _photos(folder, size)
    path, image = str(paths[0]), cv2.imread(str(paths[0]))
    model = init_model(mmgens_config(theirs, size), str(checkpoint), device="cpu")
    runs: dict[str, Callable] = {
        "mmgen sample_img2img_model": lambda: sample_img2img_model(model, path)
    }
    for precision in precisions():
        translator = Translator(None, checkpoint, device="cpu", precision=precision)
        network = translator.network()
        tensor = translator._to_tensor(image[None])
        runs[f"bare network {precision}"] = torch.inference_mode()(lambda n=network, x=tensor: n(x))
        runs[f"Translator {precision}"] = lambda t=translator: t(cv2.imread(path))
        runs[f"files to files {precision}"] = lambda t=translator: translate_files(
            t, [folder / f"{size}"], folder / "out", overwrite=True
        )
    runs |= _onnx(folder, checkpoint, image)
    per_call = {title: len(paths) if "files" in title else 1 for title in runs}
    times = {t: taken / per_call[t] for t, taken in _seconds_of(runs, per_call, seconds).items()}
    table = PrettyTable(["", "images/s", "x mmgen", "of bare"])
    table.title = f"{size} x {size}, {machine()}"
    first = next(iter(times.values()))
    for title, taken in times.items():
        bare = times.get(f"bare network {title.rpartition(' ')[2]}")
        share = f"{bare / taken:.0%}" if bare else ""
        table.add_row([title, f"{1 / taken:.2f}", f"{first / taken:.2f}", share])
    return table


def _onnx(folder: Path, checkpoint: Path, image: np.ndarray) -> dict[str, Callable]:
    """The same network in onnxruntime, where it is installed."""
    try:
        from .export import export_onnx

        exported = folder / "network.onnx"
        if not exported.exists():
            export_onnx(None, checkpoint, exported)
        translator = Translator(None, exported, device="cpu")
    except (ImportError, ValueError) as error:
        print(f"onnxruntime is left out: {error}", file=sys.stderr)
        return {}
    return {"onnxruntime fp32": lambda: translator(image)}


def _seconds_of(
    runs: Mapping[str, Callable], weights: Mapping[str, int], seconds: float
) -> dict[str, float]:
    """Median seconds a call, of as many calls as fit into `seconds` for each."""
    for run in runs.values():
        run()  # Warm.
    timed = {title: partial(time_of, run) for title, run in runs.items()}
    slowest = max(run() / weights[title] for title, run in timed.items())
    # What does many pictures a call has fewer calls.
    return interleaved(timed, max(3, round(seconds / slowest)), weights)


def time_of(run: Callable) -> float:
    """Seconds that a call takes."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def _memory(folder: Path, checkpoint: Path, sizes: Sequence[int]) -> PrettyTable:
    """Peak resident memory of a process that translates one picture."""
    table = PrettyTable(["", *(f"{size} x {size}" for size in sizes)])
    table.title = "peak memory of a process, MB"
    for precision in precisions():
        code = (
            "import sys, cv2, mmgen_ext\n"
            "from mmgen_ext.inference.translator import Translator\n"
            f"t = Translator(None, {str(checkpoint)!r}, device='cpu', precision={precision!r})\n"
            "t(cv2.imread(sys.argv[1]))\n"
            "from mmgen_ext.inference.sizing import peak_memory; print(peak_memory() // 2**20)"
        )
        peaks = [run_python(["-c", code, str(_photos(folder, s)[0])]).strip() for s in sizes]
        table.add_row([f"Translator {precision}", *peaks])
    return table


def _cold_start(folder: Path, checkpoint: Path) -> str:
    """How long translate.py takes for one picture, beside what cannot be saved."""
    picture = str(_photos(folder, 256)[0])
    tool = shipped("tools") / "translate.py"
    least = (
        "import mmgen_ext, torch\n"
        "from mmgen_ext.models.generators import ResnetGenerator\n"
        "with torch.inference_mode(): ResnetGenerator()(torch.zeros(1, 3, 256, 256))"
    )
    whole = [str(tool), "auto", str(checkpoint), picture, "--out", str(folder / "cold.png")]
    runs = {
        "tool": lambda: time_of(lambda: run_python([*whole, "--overwrite"])),
        "least": lambda: time_of(lambda: run_python(["-c", least])),
    }
    taken = interleaved(runs, 3)
    return (
        f"cold start of translate.py on one 256 x 256 picture: {taken['tool']:.2f} s, "
        f"{taken['tool'] / taken['least']:.2f} x the import and one pass of a fresh network "
        f"({taken['least']:.2f} s)"
    )


def precisions() -> list[str]:
    """What the contenders compute in."""
    return ["fp32", "bf16"]


def machine() -> str:
    """What was measured on, for a table's title."""
    return f"CPU, {counted(torch.get_num_threads(), 'thread')}, PyTorch {torch.__version__}"
