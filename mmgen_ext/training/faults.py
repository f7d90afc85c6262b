"""What is said and kept when a step fails: memory, and losses that are no numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from mmcv.parallel import DataContainer
from torch import Tensor

from ..checkpoint import write_checkpoint
from ..config import plain_data
from ..words import counted


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the host had no memory left."""
    text = str(error)
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError)
        and ("can't allocate memory" in text or "out of memory" in text)
    )


def describe_memory(error: BaseException, device: torch.device, done: int) -> str:
    """What to lower, with what was asked for."""
    text = (str(error).strip().splitlines() or ["MemoryError"])[0]
    return (
        f"out of memory on {device} after {counted(done, 'iteration')} ({text}). Lower "
        f"data.samples_per_gpu (accumulate_iters=N makes the same step of N smaller batches), the "
        f"crop in the train_pipeline, or model.generator.base_channels; then go on "
        f"with --resume auto"
    )


def open_containers(value: object) -> object:
    """A batch with mmcv's DataContainers opened."""
    if isinstance(value, DataContainer):
        return open_containers(value.data)
    if isinstance(value, Mapping):
        return {str(key): open_containers(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [open_containers(item) for item in value]
    return value


def file_names(batch: object) -> list[str]:
    """The picture files of a batch: what stands under keys that end in `_path`."""
    batch = open_containers(batch)
    found: list[str] = []
    if isinstance(batch, Mapping):
        for key, value in batch.items():
            if key.endswith("_path"):
                found += [value] if isinstance(value, str) else map(str, value)
            else:
                found += file_names(value)
    elif isinstance(batch, list):
        for item in batch:
            found += file_names(item)
    return found


def save_batch(path: Path, batches: Sequence[Mapping], iteration: int) -> Path:
    """Write the batches of one step for study: `torch.load(path)` reads them."""

    def plain(value: object) -> object:
        if isinstance(value, Tensor):
            return value.detach().cpu()
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list):
            return [plain(item) for item in value]
        return plain_data(value)

    try:
        write_checkpoint(path, dict(iteration=iteration, batches=plain(open_containers(batches))))
    except OSError as error:
        return Path(f"nothing: {error}")
    return path
