"""Pictures too large for memory: translated in parts, as if they were translated whole.

Instance norm looks at the whole picture: a part alone has other statistics, hence other colours
and seams. The paper's generator is computed in strips that know the whole picture's statistics.
Other networks (U-Net) are computed in overlapping tiles that fade into each other. Their instance
norms take the statistics of the whole picture at a reduced size.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.generators import ResnetGenerator
from .fast import OneImageNorm
from .sizing import memory_free, memory_needed, network_sizes, padded_side
from .strips import Sink, Source, translate_strips


def translate_parts(
    network: nn.Module, source: Source, sink: Sink, shape: tuple[int, int], size: int
) -> None:
    """Translate a picture in parts, with the statistics of the whole.

    Args:
        network: Generator in evaluation mode, prepared by `speed_up`.
        source: Rows of the picture in [-1, 1], in the network's dtype and on its device.
        sink: Takes rows of the translation in [-1, 1], from top to bottom.
        shape: (height, width) of the picture, multiples of the network's divisor.
        size: Rows of a strip; for other networks than the paper's the side of a tile.

    Raises:
        ValueError: If the network's inside is out of reach (ONNX).
    """
    if not getattr(network, "divisible", True):
        raise ValueError("an exported network cannot be computed in tiles; use the checkpoint")
    norms = [module for module in network.modules() if isinstance(module, OneImageNorm)]
    try:
        if isinstance(network, ResnetGenerator):
            translate_strips(network, source, sink, shape[0], size)
        else:
            if norms:
                _learn_statistics(network, norms, source, shape)
            _fading_tiles(network, source, sink, shape, size)
    finally:
        for norm in norms:
            norm.fixed = None


def _learn_statistics(
    network: nn.Module, norms: Sequence[OneImageNorm], source: Source, shape: tuple[int, int]
) -> None:
    """Fix each norm to its statistics in the whole picture, reduced as far as memory demands."""
    divisor, minimum = network_sizes(network)
    whole = source(0, shape[0])
    room = memory_free(whole.device) / 4
    scale = min(1.0, math.sqrt(room / max(1, memory_needed(network, *shape))))
    small = [padded_side(round(side * scale), divisor, minimum) for side in shape]
    reduced = F.interpolate(whole, small, mode="area")

    def learn(norm: OneImageNorm, inputs: tuple[Tensor]) -> None:
        variance, mean = torch.var_mean(inputs[0].float(), (0, 2, 3), correction=0)
        norm.fixed = (mean, variance)

    hooks = [norm.register_forward_pre_hook(learn) for norm in norms]
    try:
        network(reduced)
    finally:
        for hook in hooks:
            hook.remove()


def _fading_tiles(
    network: nn.Module, source: Source, sink: Sink, shape: tuple[int, int], size: int
) -> None:
    """Translate overlapping tiles; each fades into the next."""
    height, width = shape
    divisor = network_sizes(network)[0]
    margin = padded_side(64, divisor, divisor)
    # Above a strip: its first rows as the strip before has them.
    before = None
    spans = _spans(height, size, margin, divisor)
    for (top, bottom), following in itertools.zip_longest(spans, spans[1:]):
        rows = source(top, bottom)
        strip = None
        for left, right in _spans(width, size, margin, divisor):
            part = network(rows[..., left:right])
            strip = part if strip is None else _join(strip, part, strip.shape[3] - left, 3)
        strip = strip if before is None else _join(before, strip, before.shape[2], 2)
        stop = following[0] if following else bottom
        sink(top, stop, strip[:, :, : stop - top])
        before = strip[:, :, stop - top :]


def _spans(length: int, size: int, margin: int, divisor: int) -> list[tuple[int, int]]:
    """(start, stop) of tiles over a side; neighbours share twice the margin."""
    count = max(1, round(length / max(size, 4 * margin)))
    edges = [round(i * length / count / divisor) * divisor for i in range(count)] + [length]
    return [(max(0, a - margin), min(length, b + margin)) for a, b in itertools.pairwise(edges)]


def _join(first: Tensor, second: Tensor, shared: int, dim: int) -> Tensor:
    """Two parts in one along `dim`; where they share `shared` pixels one fades into the other."""
    ramp = torch.linspace(0, 1, shared + 2, device=first.device)[1:-1].to(first.dtype)
    ramp = ramp.view(-1, 1) if dim == 2 else ramp
    alone = first.shape[dim] - shared
    # Where both are equal lerp returns exactly that.
    faded = torch.lerp(first.narrow(dim, alone, shared), second.narrow(dim, 0, shared), ramp)
    rest = second.narrow(dim, shared, second.shape[dim] - shared)
    return torch.cat([first.narrow(dim, 0, alone), faded, rest], dim)
