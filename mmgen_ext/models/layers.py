"""The convolution block of every network here, and the initialisers of the paper's code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm as add_spectral_norm

NORMS = ("instance", "instance_affine", "batch", "none")
INITS = ("normal", "xavier", "kaiming", "orthogonal")
UPSAMPLES = ("deconv", "resize", "subpixel")
PADDINGS = {"reflect": nn.ReflectionPad2d, "replicate": nn.ReplicationPad2d, "zeros": nn.ZeroPad2d}
ACTIVATIONS = {
    "relu": lambda: nn.ReLU(inplace=True),
    "leaky_relu": lambda: nn.LeakyReLU(0.2, inplace=True),
    "tanh": nn.Tanh,
    "softsign": nn.Softsign,
}


def check_choice(name: str, value: object, choices) -> None:
    """Raise a ValueError that lists the choices unless `value` is one of them."""
    if value not in choices:
        raise ValueError(f"{name}={value!r} is not known; choose one of {', '.join(choices)}")


class InstanceNorm(nn.InstanceNorm2d):
    """torch's, whose gradient is right in channels_last as well.

    torch 2.14 takes a gradient that arrives in channels_last for a contiguous one if the batch is
    of one image, on the CPU, and returns a wrong one without a word.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each channel of each image of x (N, C, H, W)."""
        z = super().forward(x)
        if z.requires_grad and not torch.compiler.is_compiling():
            z.register_hook(torch.Tensor.contiguous)
        return z


class BlurPool(nn.Module):
    """Halves after a low pass, so that fine patterns do not turn into coarse ones (Zhang 2019).

    https://arxiv.org/abs/1904.11486, with the binomial filter of 3 x 3 and mirrored borders.

    Args:
        channels: Of input and output.
    """

    def __init__(self, channels: int):
        super().__init__()
        row = torch.tensor([1.0, 2.0, 1.0]) / 4
        # Part of a checkpoint, as in others' networks: it says that it is not of a plain one.
        self.register_buffer("filt", torch.outer(row, row).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to (N, channels, H / 2, W / 2), rounded up."""
        return self.halve(F.pad(x, (1, 1, 1, 1), mode="reflect"))

    def halve(self, padded: Tensor) -> Tensor:
        """What forward does with its input padded by a pixel."""
        return F.conv2d(padded, self.filt, stride=2, groups=len(self.filt))


class ConvBlock(nn.Module):
    """Padding, convolution, normalisation and activation, under mmcv ConvModule's parameter names.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Side of the square kernel.
        stride: Step of the convolution; for `upsample` the factor of enlargement.
        padding: Pixels added on each side of the input.
        padding_mode: 'reflect' | 'replicate' | 'zeros'.
        norm: 'instance' | 'instance_affine' (with a learned scale and shift) | 'batch' | 'none'.
            Only batch norm drops the convolution's bias: it has one of its own.
        activation: 'relu' | 'leaky_relu' (slope 0.2) | 'tanh' | 'softsign' | None.
        activation_first: Activate the input instead of the output, as U-Net's blocks do.
        upsample: None, 'deconv' (transposed convolution), 'resize' (nearest neighbour, then a
            convolution of stride 1), which has no checkerboard by construction
            (Odena et al. 2016, https://doi.org/10.23915/distill.00003), or 'subpixel' (a
            convolution to stride^2 times the channels, which then become neighbouring pixels;
            Shi et al. 2016, https://arxiv.org/abs/1609.05158), which has none to begin with.
        bias: True or False to overrule the rule under `norm`.
        spectral_norm: Divide the kernel by its largest singular value (Miyato et al. 2018).
        groups: Parts of the channels that are convolved apart from each other; `in_channels` of
            them make the convolution depthwise.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        padding_mode: str = "zeros",
        norm: str = "none",
        activation: str | None = "relu",
        activation_first: bool = False,
        upsample: str | None = None,
        bias: bool | None = None,
        spectral_norm: bool = False,
        groups: int = 1,
    ):
        super().__init__()
        check_choice("norm", norm, NORMS)
        check_choice("padding_mode", padding_mode, PADDINGS)
        check_choice("upsample", upsample, (None, *UPSAMPLES))
        subpixel = upsample == "subpixel"
        if bias is None:
            # A bias for each neighbour would be a checkerboard that no norm takes away.
            bias = norm == "none" if subpixel else norm != "batch"
        self.pre_activation = ACTIVATIONS[activation]() if activation_first and activation else None
        self.enlarge = nn.Upsample(scale_factor=stride) if upsample == "resize" else None
        # Zero padding is cheapest inside the convolution.
        inside = padding if padding_mode == "zeros" else 0
        self.pad = PADDINGS[padding_mode](padding) if padding > inside else None
        if upsample == "deconv":
            # Odd kernels need one more row and column to enlarge by the stride exactly.
            self.conv = nn.ConvTranspose2d(
                in_channels, out_channels, kernel_size, stride, padding, kernel_size % 2, bias=bias
            )
        else:
            step = 1 if upsample else stride
            many = out_channels * stride**2 if subpixel else out_channels
            self.conv = nn.Conv2d(
                in_channels, many, kernel_size, step, inside, groups=groups, bias=bias
            )
        self.shuffle = nn.PixelShuffle(stride) if subpixel else None
        if spectral_norm:
            add_spectral_norm(self.conv)
        # The names are part of the parameters' names: mmcv calls them `bn` and `in`, and `in` is no
        # name that Python takes after a dot.
        self.bn = nn.BatchNorm2d(out_channels) if norm == "batch" else None
        instance = norm in ("instance", "instance_affine")
        affine = norm == "instance_affine"
        self.add_module("in", InstanceNorm(out_channels, affine=affine) if instance else None)
        self.activation = ACTIVATIONS[activation]() if activation and not activation_first else None

    def forward(self, x: Tensor) -> Tensor:
        """Run what is switched on: (N, in_channels, H, W) to (N, out_channels, H', W')."""
        for part in (
            self.pre_activation,
            self.enlarge,
            self.pad,
            self.conv,
            self.shuffle,
            self.bn,
            getattr(self, "in"),
            self.activation,
        ):
            if part is not None:
                x = part(x)
        return x


def init_weights(network: nn.Module, type: str = "normal", gain: float = 0.02) -> None:
    """Initialise as the paper's code does: kernels by `type`, biases 0, batch norm N(1, gain).

    Kernels of neighbouring sub-pixels begin alike, as those of a nearest-neighbour resize would be
    (ICNR: Aitken et al. 2017, https://arxiv.org/abs/1707.02937).

    Args:
        network: Whose convolutions and batch norms are initialised.
        type: 'normal' (standard deviation `gain`) | 'xavier' | 'kaiming' | 'orthogonal'.
        gain: Scale of all but 'kaiming'.
    """
    check_choice("init_cfg.type", type, INITS)
    blocks = [m for m in network.modules() if isinstance(m, ConvBlock) and m.shuffle]
    alike = {block.conv: block.shuffle.upscale_factor**2 for block in blocks}
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            # Under spectral norm the kernel to set is the one below the parametrization.
            parametrized = getattr(module, "parametrizations", None)
            weight = parametrized.weight.original if parametrized else module.weight
            weight = weight.detach()
            first = weight[:: alike.get(module, 1)]
            _draw(first, type, gain)
            if module in alike:
                weight.copy_(first.repeat_interleave(alike[module], 0))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, gain)
            nn.init.zeros_(module.bias)


def _draw(weight: Tensor, type: str, gain: float) -> None:
    if type == "normal":
        nn.init.normal_(weight, 0.0, gain)
    elif type == "xavier":
        nn.init.xavier_normal_(weight, gain)
    elif type == "kaiming":
        nn.init.kaiming_normal_(weight, a=0, mode="fan_in")
    else:
        nn.init.orthogonal_(weight, gain)


def is_per_image(network: nn.Module) -> bool:
    """Whether ours, and gives each image of a batch what it would give it alone.

    Two batches can then be one. Batch norm mixes images, dropout draws for each, and spectral norm
    refines its estimate at every pass.
    """
    network = getattr(network, "module", network)  # of its wrapper, where there is one
    return isinstance(network, Network) and not any(
        isinstance(module, (nn.BatchNorm2d, nn.Dropout)) or hasattr(module, "parametrizations")
        for module in network.modules()
    )


def pass_together(
    network: nn.Module, *batches: Tensor, through: Callable[[Tensor], object] | None = None
) -> tuple:
    """network(batch) of several (N, C, H, W), in one pass where that gives the same.

    Each is a tensor, or several of them, as the network returns; or what `through` returns, which
    uses the network.
    """
    through = through or network
    if not can_be_one(network, batches):
        return tuple(through(batch) for batch in batches)
    return taken_apart(through(torch.cat(batches)), batches)


def can_be_one(network: nn.Module, batches: Sequence[Tensor]) -> bool:
    """Whether there are several, and network(torch.cat(batches)) gives what it gives each."""
    alike = len(batches) > 1 and len({batch.shape[1:] for batch in batches}) == 1
    return alike and is_per_image(network)


def taken_apart(outputs: Tensor | Sequence[Tensor], batches: Sequence[Tensor]) -> tuple:
    """What belongs to each of the batches in what was made of all of them in one."""
    sizes = [len(batch) for batch in batches]
    if isinstance(outputs, Tensor):
        return outputs.split(sizes)
    return tuple(zip(*(output.split(sizes) for output in outputs), strict=True))


def pass_all(
    networks: Mapping[str, nn.Module], batches: Mapping[str, Sequence[Tensor]]
) -> dict[str, tuple]:
    """`pass_together` of each of the networks that `batches` names and its batches.

    Those that look through the same frozen network (`Network.sight`) share a pass of it, which is
    faster than one for each.
    """
    inputs = {
        d: [torch.cat(xs)] if can_be_one(networks[d], xs) else xs for d, xs in batches.items()
    }
    alike: dict[tuple, tuple] = {}
    for d, xs in inputs.items():
        network = getattr(networks[d], "module", networks[d])
        sight = getattr(network, "sight", None)
        for i, x in enumerate(xs if sight else ()):
            _, places, pictures = alike.setdefault((sight.key, x.shape[1:]), (sight, [], []))
            places.append((d, i))
            pictures.append(x)
    seen = {}
    for sight, places, pictures in alike.values():
        parts = taken_apart(sight(torch.cat(pictures)), pictures)
        seen |= {place: dict(seen=part) for place, part in zip(places, parts, strict=True)}
    made = {
        d: tuple(networks[d](x, **seen.get((d, i), {})) for i, x in enumerate(xs))
        for d, xs in inputs.items()
    }
    return {
        d: taken_apart(made[d][0], xs) if len(made[d]) < len(xs) else made[d]
        for d, xs in batches.items()
    }


class Network(nn.Module):
    """What a config names as generator or discriminator: it initialises itself.

    Args:
        init_cfg: `dict(type='normal'|'xavier'|'kaiming'|'orthogonal', gain=0.02)`.
    """

    fused = False
    # An ImageNetFeatures that it looks at pictures through; `forward` takes its output as `seen`.
    sight = None

    def __init__(self, init_cfg: dict | None = None):
        super().__init__()
        self.init_cfg = init_cfg or {}

    def fuse(self) -> None:
        """Train on a CPU through fused layers: faster, and rounded otherwise; see chain.py."""
        self.fused = True
        self.to(memory_format=torch.channels_last)

    def init_weights(self) -> None:
        """Draw new weights as `init_cfg` says."""
        init_weights(self, **self.init_cfg)
