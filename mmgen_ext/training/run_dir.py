"""The run directory: a folder that says what was run, on what, and how it went."""

from __future__ import annotations

import logging
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from mmcv import Config
from mmcv.utils import get_logger

from ..config import config_text
from ..files import replacing


def make_work_dir(path: str | os.PathLike) -> Path:
    """Make the folder and check that it can be written.

    Raises:
        PermissionError: If it cannot.
    """
    path = Path(path).absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise PermissionError(
            f"work_dir {path} cannot be written ({error.strerror}); choose another with --work-dir"
        ) from error
    return path


def start_log(work_dir: Path, level: str = "INFO") -> tuple[logging.Logger, str]:
    """Log to the terminal and <work_dir>/<timestamp>.log; return the logger and the timestamp."""
    timestamp = time.strftime("%Y%m%d_%H%M%S")
    logger = get_logger("mmgen")
    logger.setLevel(level)  # mmcv leaves the level of a logger that it has met before
    # A second run in one process must not write into the first one's log.
    for handler in [h for h in logger.handlers if isinstance(h, logging.FileHandler)]:
        logger.removeHandler(handler)
        handler.close()
    handler = logging.FileHandler(work_dir / f"{timestamp}.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s - %(name)s - %(levelname)s - %(message)s"))
    handler.setLevel(level)
    logger.addHandler(handler)
    return logger, timestamp


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
        "torch": f"{torch.__version__}, {torch.get_num_threads()} threads",
        "torchvision": torchvision.__version__,
        "numpy": numpy.__version__,
        "opencv": cv2.__version__,
        "python": sys.version.replace("\n", " "),
        "platform": platform.platform(),
    }
    for i in range(torch.cuda.device_count()):
        lines[f"cuda:{i}"] = torch.cuda.get_device_name(i)
    return "\n".join(f"{key}: {value}" for key, value in lines.items())
