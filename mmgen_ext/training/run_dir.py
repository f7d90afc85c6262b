"""The run directory: a folder that says what was run, on what, and how it went."""

from __future__ import annotations

import logging
import os
import platform
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from mmcv import Config
from mmcv.utils import get_logger

from ..config import config_text, plain_data
from ..files import remove_rests, replacing, tool
from ..words import counted
from .distributed import rank

# What decides the bits of a training. All else may change when a run is continued: its length,
# loader workers, logs, pictures, checkpoints.
DECISIVE = (
    "model",
    "train_cfg",
    "data.train",
    "optimizer",
    "optimizer_config",
    "grad_clip",
    "lr_config",
    "loss_schedule",
    "seed",
)
# How the pictures of a step are divided; only their product counts.
BATCH = ("data.samples_per_gpu", "accumulate_iters", "world_size")


def make_work_dir(path: str | os.PathLike) -> Path:
    """Make the folder, check that it can be written, and delete what a killed run left half done.

    Raises:
        PermissionError: If it cannot.
    """
    path = Path(path).absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
        remove_rests(path)
    except OSError as error:
        raise PermissionError(
            f"work_dir {path} cannot be written ({error.strerror}); choose another with --work-dir"
        ) from error
    return path


def start_log(work_dir: Path, level: str = "INFO") -> tuple[logging.Logger, str]:
    """Log to the terminal and <work_dir>/<timestamp>.log on rank 0; return logger and timestamp."""
    timestamp = time.strftime("%Y%m%d_%H%M%S")
    logger = get_logger("mmgen")
    # mmcv leaves the level of a logger that it has met before.
    logger.setLevel(level if rank() == 0 else "ERROR")
    # A second run in one process must not write into the first one's log.
    for handler in [h for h in logger.handlers if isinstance(h, logging.FileHandler)]:
        logger.removeHandler(handler)
        handler.close()
    if rank() == 0:
        handler = LogFile(work_dir / f"{timestamp}.log", encoding="utf-8")
        form = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
        handler.setFormatter(logging.Formatter(form))
        handler.setLevel(level)
        logger.addHandler(handler)
    return logger, timestamp


class LogFile(logging.FileHandler):
    """A log file; what a full disk refuses still stands on the terminal."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Let lines go that cannot be written; other errors are shown, as logging does."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def check_same_config(cfg: Config, before: Mapping, checkpoint: Path, name: str) -> None:
    """Compare a config with that of the run that a folder holds.

    Args:
        cfg: The resolved config.
        before: The other, as plain data.
        checkpoint: Where `before` was found.
        name: Config file that the folder's run can be continued with.

    Raises:
        ValueError: If the training would be another: what differs, and the two remedies.
    """
    lines = config_difference(before, plain_data(cfg))
    if lines:
        folder = checkpoint.parent
        raise ValueError(
            f"{folder} holds a run of another config ({checkpoint.name}; - there, + now):\n"
            + "\n".join(lines)
            + f"\n1. To keep both, train in another folder: --work-dir {folder}_2\n"
            f"   (and to go on there from this run's state: --resume {checkpoint})\n"
            f"2. To continue that run, take its config: {tool('train')} "
            f"{folder / name} --resume auto"
        )


def config_difference(before: Mapping, now: Mapping) -> list[str]:
    """Lines of what trains differently: '- key = value' and '+ key = value'."""
    flat = [_relevant(before), _relevant(now)]
    lines = []
    for key in dict.fromkeys([*flat[0], *flat[1]]):
        values = [side.get(key) for side in flat]  # absent is the same as None
        if values[0] != values[1]:
            lines += [f"  {sign} {key} = {v!r}" for sign, v in zip("-+", values, strict=True)]
    return lines


def _relevant(config: Mapping) -> dict:
    flat = dict(_flatten(config))
    batch = 1
    for key in BATCH:
        batch *= flat.pop(key, None) or 1
    flat = {
        key: value
        for key, value in flat.items()
        if any(key == name or key.startswith(f"{name}.") for name in DECISIVE)
    }
    return {**flat, "pictures of a domain in a step": batch}


def _flatten(value: object, prefix: str = ""):
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flatten(item, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        yield from _flatten(dict(enumerate(value)), prefix)
    else:
        yield prefix, value


def write_config(work_dir: Path, cfg: Config, name: str) -> None:
    """Write the resolved config, from which the run can be started again."""
    with replacing(work_dir / name) as part:
        part.write_text(config_text(cfg), "utf-8")


def describe_environment() -> str:
    """Versions and machine, a line each."""
    import cv2
    import mmcv
    import mmgen
    import numpy
    import torch
    import torchvision

    from .. import __version__, compat

    lines = {
        "mmgen_ext": __version__,
        "mmgen": mmgen.__version__,
        "mmcv": f"{mmcv.__version__}, compiled ops: {compat.has_compiled_ops()}",
        "torch": f"{torch.__version__}, {counted(torch.get_num_threads(), 'thread')}",
        "torchvision": torchvision.__version__,
        "numpy": numpy.__version__,
        "opencv": cv2.__version__,
        "python": sys.version.replace("\n", " "),
        "platform": platform.platform(),
    }
    for i in range(torch.cuda.device_count()):
        lines[f"cuda:{i}"] = torch.cuda.get_device_name(i)
    return "\n".join(f"{key}: {value}" for key, value in lines.items())
