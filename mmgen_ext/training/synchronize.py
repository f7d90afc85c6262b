"""Networks of many processes: one wrapper each, and a proof that they are equal."""

from __future__ import annotations

import inspect

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from .distributed import all_objects, world_size


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


def unwrapped(networks: nn.ModuleDict) -> nn.ModuleDict:
    """The same networks without the wrappers of `synchronize`."""
    return nn.ModuleDict(
        {key: net.module if isinstance(net, Synchronized) else net for key, net in networks.items()}
    )


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
