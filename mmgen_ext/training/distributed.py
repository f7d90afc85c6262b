"""Many processes as one: the group, its networks, and what the processes tell each other."""

from __future__ import annotations

import contextlib
import inspect
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import torch
import torch.distributed as dist
from mmcv.parallel import DataContainer
from mmcv.parallel.registry import MODULE_WRAPPERS
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

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


def average_each(_, bucket):  # torch compares annotations, and cannot read postponed ones
    """Average the gradients of a bucket over all processes, each parameter's by itself.

    The order in which three or more summands are added depends on where a number stands in what is
    reduced, and PyTorch packs its buckets anew after the first step: a resumed run would round
    otherwise than an undisturbed one.
    """
    works = [
        dist.all_reduce(gradient.div_(world_size()), async_op=True)
        for gradient in bucket.gradients()
    ]
    done = torch.futures.collect_all([work.get_future() for work in works])
    return done.then(lambda _: bucket.buffer())


class Synchronized(DistributedDataParallel):
    """A network whose gradients are averaged over all processes; its weights keep their names."""

    def __init__(self, network: nn.Module, device: torch.device):
        # Buffers are not sent at every pass: a network is passed several times before a backward.
        # torch 2.15 has a new name for that.
        names = inspect.signature(DistributedDataParallel).parameters
        buffers = "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers"
        super().__init__(
            network,
            device_ids=[device] if device.type == "cuda" else None,
            gradient_as_bucket_view=True,
            **{buffers: False},
        )
        self.register_load_state_dict_pre_hook(self._rename)
        if device.type == "cpu":
            self.register_comm_hook(None, average_each)

    def __getattr__(self, name: str):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("module"), name)

    def state_dict(self, *args, **kwargs) -> dict:
        """The network's own."""
        return self.module.state_dict(*args, **kwargs)

    @staticmethod
    def _rename(module: nn.Module, state: dict, prefix: str, *_) -> None:
        for key in [key for key in state if key.startswith(prefix)]:
            state[f"{prefix}module.{key[len(prefix) :]}"] = state.pop(key)


def synchronize(model: nn.Module, device: torch.device) -> None:
    """Wrap every network of a model, ours or mmgen's, so that its gradients are averaged.

    mmgen's own wrapper goes around the dictionary of networks and is never called, so that its
    ranks drift apart; each network must be wrapped by itself.
    """
    for name, child in model.named_children():
        if isinstance(child, (nn.ModuleDict, nn.ModuleList)):
            synchronize(child, device)
        elif any(parameter.requires_grad for parameter in child.parameters()):
            model._modules[name] = Synchronized(child, device)


def fingerprint(model: nn.Module) -> dict[str, int]:
    """A number for every parameter that differs if a bit of it does.

    Sum of the bits, each weighted by where it stands, modulo 2^64.
    """
    found = {}
    for name, parameter in model.named_parameters():
        bits = parameter.detach().reshape(-1).view(torch.uint8)
        words = bits.view(torch.int16 if len(bits) % 4 else torch.int32).long()
        places = torch.arange(1, 2 * len(words), 2, device=words.device)
        found[name.replace(".module.", ".")] = (words * places).sum()
    return dict(zip(found, torch.stack(list(found.values())).tolist(), strict=True))


def check_equal(model: nn.Module) -> None:
    """Compare the parameters of all processes.

    Raises:
        ValueError: On every rank, if they are not the same to the bit.
    """
    if world_size() == 1:
        return
    prints = all_objects(fingerprint(model))
    for number, other in enumerate(prints):
        different = [name for name, value in prints[0].items() if other.get(name) != value]
        if different:
            raise ValueError(
                f"the networks of rank 0 and rank {number} are not the same any more: "
                f"{len(different)} of {len(prints[0])} parameters differ, the first is "
                f"{different[0]}. The run stops and saves nothing; go on from the newest "
                f"checkpoint with --resume auto. If it happens again, a network is trained past "
                f"its wrapper, or a machine computes wrongly"
            )


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
