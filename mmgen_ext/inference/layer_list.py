"""The layers in a file of weights: its convolutions in order, each with its norm."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

_NORM = {"weight", "bias", "running_mean", "running_var"}
# Parameters that no network of ours has, by the last part of their names.
_ODD = {
    "filt": "anti-aliasing filters",
    "weight_orig": "spectral norm",
    "original": "spectral norm",
    "weight_g": "weight norm",
    "gamma": "layer norm",
}


class Unlike(ValueError):
    """Tensors that are no generator of ours.

    Args:
        text: What they are like, and what differs.
        depth: Convolutions that fit before something did not.
    """

    def __init__(self, text: str, depth: int):
        super().__init__(text)
        self.depth = depth


@dataclass
class Layer:
    """A convolution and the norm after it.

    Attributes:
        name: Of the module in the file.
        weight: (out, in, k, k), or (in, out, k, k) of a transposed convolution.
        bias: (out,) or None.
        norm: The norm's tensors by name; empty where there is none, or one without parameters.
    """

    name: str
    weight: Tensor
    bias: Tensor | None = None
    norm: dict[str, Tensor] = field(default_factory=dict)

    @property
    def norm_kind(self) -> str:
        """As a config names it. A norm without parameters leaves no trace: taken as the paper's."""
        if "weight" not in self.norm:
            return "instance"  # Statistics alone are of old files; the paper's code drops them.
        # With statistics, batch and instance norm do the same once trained.
        return "batch" if "running_mean" in self.norm else "instance_affine"


def read_layers(state: Mapping[str, Tensor]) -> tuple[list[Layer], list[str]]:
    """The convolutions in order, each with its norm, and what is neither."""
    modules: dict[str, dict[str, Tensor]] = {}
    for key, value in state.items():
        module, _, name = key.rpartition(".")
        if name != "num_batches_tracked":
            modules.setdefault(module, {})[name] = value
    layers: list[Layer] = []
    odd: list[str] = []
    for name, tensors in modules.items():
        weight = tensors.get("weight", tensors.get("weight_orig"))
        strange = [key for key in tensors if key not in _NORM]
        if weight is not None and weight.ndim == 4:
            layers.append(Layer(name, weight, tensors.get("bias")))
        elif layers and not strange and _is_norm(tensors, layers[-1]):
            layers[-1].norm |= tensors
        else:
            strange = strange or list(tensors)
        odd += [_describe_odd(f"{name}.{key}", tensors[key]) for key in strange]
    return layers, odd


def _is_norm(tensors: Mapping[str, Tensor], layer: Layer) -> bool:
    """Whether tensors are those of a norm, and not for example of a PReLU."""
    whole = {"weight", "bias"} <= set(tensors) or "running_mean" in tensors
    shapes = {tuple(value.shape) for value in tensors.values()}
    return whole and shapes <= {(side,) for side in layer.weight.shape[:2]}


def _describe_odd(name: str, value: Tensor) -> str:
    kind = _ODD.get(name.rpartition(".")[2], f"a tensor of shape {tuple(value.shape)}")
    return f"{kind} ({name})"


def in_order_of_numbers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors with layer 2 before layer 10: safetensors sorts names as texts."""

    def numbers(key: str) -> list[tuple]:
        parts = re.split(r"(\d+)", key)
        return [(part.isdigit(), int(part) if part.isdigit() else part) for part in parts]

    return {key: state[key] for key in sorted(state, key=numbers)}
