"""Checkpoint files in OpenMMLab's layout: whole or not there, read as data and never as code."""

from __future__ import annotations

import os
import pickle
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from .files import replacing


def write_checkpoint(path: str | os.PathLike, content: dict) -> None:
    """Write a checkpoint so that `path` is always whole: beside it, flushed, then renamed.

    Args:
        path: File to write or replace.
        content: Tensors and plain Python types alone.

    Raises:
        OSError: If it cannot be written (a full disk); what was there before stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        try:
            with open(part, "wb") as file:
                torch.save(content, file)
                file.flush()
                os.fsync(file.fileno())
        except RuntimeError as error:
            # torch's zip writer turns a failed write into a RuntimeError about positions.
            free = shutil.disk_usage(path.parent).free / 1e6
            raise OSError(f"cannot write {path}: {free:.0f} MB are free on its disk") from error


def read_checkpoint(path: str | os.PathLike, map_location: str = "cpu") -> dict:
    """Read a checkpoint file as data: nothing in it is executed.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, no checkpoint, or holds anything but data.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint {path}")
    if path.stat().st_size == 0:
        raise ValueError(f"checkpoint {path} is empty (0 bytes)")
    try:
        checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported" in str(error) or "GLOBAL" in str(error):
            raise ValueError(
                f"checkpoint {path} holds more than weights and plain data, which could run code "
                f"when it is read; it was refused"
            ) from error
        raise ValueError(f"{path} is no checkpoint, or is damaged") from error
    except (RuntimeError, EOFError, OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no checkpoint, or is damaged ({error})") from error
    if not isinstance(checkpoint, Mapping):
        raise ValueError(f"{path} holds a {type(checkpoint).__name__}; expected a checkpoint")
    return dict(checkpoint)


def find_checkpoints(work_dir: str | os.PathLike) -> list[Path]:
    """The checkpoints of a run directory, from the fewest to the most iterations."""
    found = {}
    for path in Path(work_dir).glob("iter_*.pth"):
        number = path.stem.removeprefix("iter_")
        if number.isdigit():
            found[int(number)] = path
    return [found[number] for number in sorted(found)]


def keep_newest(work_dir: str | os.PathLike, count: int) -> None:
    """Delete all but the newest `count` checkpoints of a run directory; none if not positive."""
    for path in find_checkpoints(work_dir)[:-count] if count > 0 else []:
        path.unlink()


def check_fit(network: nn.Module, state: Mapping, name: str) -> None:
    """Raise a ValueError that says which weights are missing, unknown or of another shape."""
    want = network.state_dict()
    other = [
        f"{k}: {tuple(state[k].shape)} in the checkpoint, {tuple(want[k].shape)} in the config"
        for k in want
        if k in state and state[k].shape != want[k].shape
    ]
    faults = []
    for title, keys in (
        ("missing in the checkpoint", [k for k in want if k not in state]),
        ("not in the config", [k for k in state if k not in want]),
        ("of another shape", other),
    ):
        if keys:
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            faults.append(f"{len(keys)} {title}: {', '.join(keys[:3])}{more}")
    if faults:
        raise ValueError(
            f"checkpoint {name} does not fit the config. {'; '.join(faults)}. "
            f"Use the config that it was trained with"
        )
