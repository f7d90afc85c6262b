"""Many processes as one: the group, its networks, and what the processes tell each other."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import torch
import torch.distributed as dist
from mmcv.parallel import DataContainer
from mmcv.parallel.registry import MODULE_WRAPPERS
from torch import Tensor, nn

from ..device import pick_device
from .launchers import launch_environment

T = TypeVar("T")
_control: dist.ProcessGroup | None = None


@contextlib.contextmanager
def process_group(launcher: str, device: str) -> Iterator[torch.device]:
    """Join the group that a launcher describes, if it does; yield this process' device.

    Args:
        launcher: See launch_environment.
        device: 'auto' | 'cpu' | 'cuda' | ...; of many processes each takes a GPU of its own.

    Raises:
        ValueError: If the launcher's variables or the GPUs are not there.
    """
    global _control
    env = launch_environment(launcher)
    if env is None or dist.is_initialized():
        chosen = pick_device(device)
        if chosen.type == "cuda" and chosen.index is not None:
            torch.cuda.set_device(chosen)  # random states are the current device's
        yield chosen
        return
    os.environ.update(env)
    chosen = _pick_of_many(device, int(env["LOCAL_RANK"]))
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    elif "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)  # as torchrun does: processes that share cores wait for each other
    store, rank_, size = next(dist.rendezvous("env://"))
    # torchrun keeps its store when it starts processes again: those must not meet the dead ones.
    attempt = _attempt(store, env)
    if attempt:
        os.environ["TORCHELASTIC_RESTART_COUNT"] = str(attempt)
    store = dist.PrefixStore(f"attempt {attempt}", store)
    backend = "nccl" if chosen.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank_, world_size=size)
    # What processes tell each other besides gradients goes from host to host and waits for no GPU.
    _control = dist.new_group(backend="gloo")
    try:
        yield chosen
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and not re.search("gloo|NCCL", str(error)):
            raise
        raise ValueError(
            f"rank {rank_} lost another process of this training ({str(error).splitlines()[0]}). "
            f"What that one said last tells why; torchrun starts all again, or go on with "
            f"--resume auto"
        ) from error
    finally:
        _control = None
        dist.destroy_process_group()


def _attempt(store: dist.Store, env: Mapping[str, str]) -> int:
    """How often this rank was started before."""
    if os.environ.get("LOCAL_WORLD_SIZE") == env["WORLD_SIZE"]:
        return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))
    # On several machines torchrun counts only the restarts that a machine asked for itself.
    return store.add(f"starts of {env['RANK']}", 1) - 1


def _pick_of_many(device: str, local_rank: int) -> torch.device:
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and torch.cuda.device_count() == 1 and "LOCAL_WORLD_SIZE" not in os.environ:
        local_rank = 0  # Slurm and MPI can show each process its own GPU alone.
    if device == "cuda" and local_rank >= torch.cuda.device_count():
        raise ValueError(
            f"process {local_rank} of this machine has no GPU: there are "
            f"{torch.cuda.device_count()}. Start as many processes as GPUs, or use --device cpu"
        )
    return pick_device(f"cuda:{local_rank}" if device == "cuda" else device)


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def all_objects(value: T) -> list[T]:
    """The plain values that all processes give, by rank, on each of them."""
    if world_size() == 1:
        return [value]
    values = [None] * world_size()
    dist.all_gather_object(values, value, group=_control)
    return values


def largest(value: int) -> int:
    """The largest of the numbers that all processes give."""
    if world_size() == 1:
        return value
    number = torch.tensor(value)
    dist.all_reduce(number, dist.ReduceOp.MAX, group=_control)
    return int(number)


def mean(values: Mapping[str, float]) -> dict[str, float]:
    """The mean over all processes of each value; all must give the same keys."""
    if world_size() == 1:
        return dict(values)
    total = torch.tensor(list(values.values()), dtype=torch.float64)
    dist.all_reduce(total, group=_control)
    return dict(zip(values, (total / world_size()).tolist(), strict=True))


def on_main(function: Callable[[], T]) -> T:
    """Call on rank 0 and return its result on every rank; its error is raised on every rank."""
    if world_size() == 1:
        return function()
    box: list = [None, None]
    if rank() == 0:
        try:
            box[0] = function()
        except Exception as error:
            box[1] = error
    dist.broadcast_object_list(box, src=0, group=_control)
    if box[1] is not None:
        raise box[1]
    return box[0]


def to_device(batch: object, device: torch.device) -> object:
    """Move every tensor of a batch, without waiting; mmcv's DataContainers are opened."""
    if isinstance(batch, DataContainer):
        return to_device(batch.data[0], device)
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    return batch


@MODULE_WRAPPERS.register_module()
class OnDevice(nn.Module):
    """A model on one device that is given batches from anywhere; what MMDataParallel was used for.

    Args:
        module: The model; its `train_step` and `forward` are called.
        device: Where it is moved.
    """

    def __init__(self, module: nn.Module, device: torch.device):
        super().__init__()
        self.module, self.device = module.to(device), device
        # Where mmcv's text log reduces the memory that is used.
        self.output_device = device if device.type == "cuda" else None

    def forward(self, batch: object, *args, **kwargs):
        """Call the model on the moved batch."""
        return self.module(to_device(batch, self.device), *args, **kwargs)

    def train_step(self, batches: list[dict], optimizer: dict, **kwargs) -> dict:
        """Call the model's train_step on the moved batches; on a dict if there is one alone."""
        batches = [to_device(batch, self.device) for batch in batches]
        batch = batches[0] if len(batches) == 1 else batches
        return self.module.train_step(batch, optimizer, **kwargs)
