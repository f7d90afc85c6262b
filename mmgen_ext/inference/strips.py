"""Strips of a picture, with the statistics of the whole: the paper's generator layer by layer.

At a quarter of the size, where nine tenths of its work are done, each layer goes through the whole
picture in strips of rows, and its statistics are known before the next begins. At full size, where
the activations would not fit, the first and last layers are computed strip by strip up to each norm
in turn, to learn its statistics, and again from the beginning for the next: a tenth more work. The
result is the whole picture's up to the order of sums.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from ..models.generators import ResidualBlock, ResnetGenerator
from ..models.layers import BlurPool, ConvBlock
from .fast import OneImageNorm

# rows(start, stop) of a picture (1, C, stop - start, W), and what takes them away.
Source = Callable[[int, int], Tensor]
Sink = Callable[[int, int, Tensor], None]
_PAD_MODES = {nn.ReflectionPad2d: "reflect", nn.ReplicationPad2d: "replicate"}


def strips(height: int, rows: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of the parts of `height` rows."""
    for start in range(0, height, rows):
        yield start, min(start + rows, height)


def translate_strips(
    network: ResnetGenerator, source: Source, sink: Sink, height: int, rows: int
) -> None:
    """Translate a picture of `height` rows in strips of `rows`; leaves the norms' `fixed` set."""
    layers = [_Blur(layer) if isinstance(layer, BlurPool) else layer for layer in network.model]
    first, last = network.trunk.start, network.trunk.stop
    with tqdm(unit="pass", leave=False, disable=not sys.stderr.isatty()) as bar:
        # Passes over the picture: each norm of the ends, each of a block, and the output.
        blocks = layers[first:last]
        inside = sum(isinstance(m, ConvBlock) for block in blocks for m in block.block)
        bar.total = first + inside + len(layers) - last
        head = _Chain(layers[:first], source, height, rows, bar)
        x = head.whole()
        if network.semantics is not None:
            x += network.semantics(network.sight(source(0, height)), x.shape[2:])
        for block in blocks:
            _residual(block, x, max(4, rows // network.size_divisor), bar)
        recolor = network.recolor
        colors = None if recolor is None else recolor(x)
        tail = _Chain(layers[last:], lambda a, b: x[:, :, a:b], x.shape[2], rows, bar)
        for start, stop in strips(height, rows):
            made, above = tail.output(start, stop), min(start, network.reach)
            needed = source(start - above, min(height, stop + network.reach))
            matrices = None if recolor is None else recolor.rows(colors, start, stop)
            sink(start, stop, network.finish(made, needed, above, matrices))
        bar.update()


class _Blur(nn.Module):
    """A BlurPool with the parts of a ConvBlock."""

    enlarge = shuffle = activation = None

    def __init__(self, layer: BlurPool):
        super().__init__()
        channels = len(layer.filt)
        self.pad = nn.ReflectionPad2d(1)
        # Without a draw of weights, which would move the random numbers of a training.
        self.conv = nn.Conv2d(channels, channels, 3, 2, groups=channels, bias=False, device="meta")
        self.conv.weight = nn.Parameter(layer.filt, requires_grad=False)


class _Statistics:
    """Mean and variance of each channel, gathered part by part (Chan et al. 1979)."""

    def __init__(self):
        self.count, self.mean, self.sum2 = 0, 0.0, 0.0

    def add(self, x: Tensor) -> None:
        # The only kernel that reads channels_last once; it returns 1 / sqrt(variance + eps).
        eps = 1e-5
        _, mean, inverse = torch.native_batch_norm(x, None, None, None, None, True, 0.0, eps)
        mean, variance = mean.double(), inverse.double() ** -2 - eps
        count = x.shape[2] * x.shape[3]
        total = self.count + count
        apart = mean - self.mean
        self.mean = self.mean + apart * (count / total)
        self.sum2 = self.sum2 + variance * count + apart**2 * (self.count * count / total)
        self.count = total

    def fixed(self) -> tuple[Tensor, Tensor]:
        """(mean, variance) of all."""
        variance = (self.sum2 / self.count).clamp_(min=0)
        return self.mean.float(), variance.float()


class _Chain:
    """Layers without a branch, whose output is computed row by row from a source.

    Args:
        blocks: The layers.
        source: Rows of their input.
        height: Rows of their input.
        rows: Rows of a strip where the chain is widest.
        bar: Told about each pass over the picture.
    """

    def __init__(
        self, blocks: Sequence[ConvBlock], source: Source, height: int, rows: int, bar: tqdm
    ):
        self.blocks, self.source, self.bar = blocks, source, bar
        self.heights = [height]
        for block in blocks:
            self.heights.append(_output_height(block, self.heights[-1]))
        self.rows = [max(4, rows * h // max(self.heights)) for h in self.heights]
        for depth in range(len(blocks) - 1):
            self._measure(depth)

    def output(self, start: int, stop: int) -> Tensor:
        """Rows of the last layer's output."""
        return self._activated(len(self.blocks) - 1, start, stop)

    def whole(self) -> Tensor:
        """The last layer's whole output, computed once."""
        depth = len(self.blocks) - 1
        x, height = None, self.heights[-1]
        statistics = _Statistics()
        for start, stop in strips(height, self.rows[-1]):
            part = self._convolved(depth, start, stop)
            if x is None:
                # Rows of channels_last lie together in memory.
                x = part.new_empty(1, height, part.shape[3], part.shape[1]).permute(0, 3, 1, 2)
            x[:, :, start:stop] = part
            statistics.add(part)
        _fix(self.blocks[-1], statistics)
        for start, stop in strips(height, self.rows[-1]):
            x[:, :, start:stop] = _finish(self.blocks[-1], x[:, :, start:stop])
        self.bar.update()
        return x

    def _measure(self, depth: int) -> None:
        if _norm(self.blocks[depth]) is None:
            return
        statistics = _Statistics()
        for start, stop in strips(self.heights[depth + 1], self.rows[depth + 1]):
            part = self._convolved(depth, start, stop)
            statistics.add(part)
        _fix(self.blocks[depth], statistics)
        self.bar.update()

    def _convolved(self, depth: int, start: int, stop: int) -> Tensor:
        block, height = self.blocks[depth], self.heights[depth]
        low, high = _rows_needed(block, start, stop, height)
        x = self._activated(depth - 1, low, high) if depth else self.source(low, high)
        return _convolve(block, x, low, height, start, stop)

    def _activated(self, depth: int, start: int, stop: int) -> Tensor:
        return _finish(self.blocks[depth], self._convolved(depth, start, stop))


def _residual(block: ResidualBlock, x: Tensor, rows: int, bar: tqdm) -> None:
    """Add block(x) to x in place, with one more activation of its size."""
    first, *others = (part for part in block.block if isinstance(part, ConvBlock))
    height = x.shape[2]
    y = torch.empty_like(x)
    statistics = _Statistics()
    for start, stop in strips(height, rows):
        low, high = _rows_needed(first, start, stop, height)
        part = _convolve(first, x[:, :, low:high], low, height, start, stop)
        y[:, :, start:stop] = part
        statistics.add(part)
    _fix(first, statistics)
    bar.update()
    for last in others:
        statistics = _Statistics()
        above = y[:, :, :0]  # Rows above a strip, from before they were overwritten.
        for start, stop in strips(height, rows):
            low, high = _rows_needed(last, start, stop, height)
            part = _finish(first, torch.cat([above, y[:, :, start:high]], 2))
            above = y[:, :, _rows_needed(last, stop, stop + 1, height)[0] : stop].clone()
            part = _convolve(last, part, low, height, start, stop)
            y[:, :, start:stop] = part
            statistics.add(part)
        _fix(last, statistics)
        bar.update()
        first = last
    for start, stop in strips(height, rows):
        x[:, :, start:stop] += _finish(first, y[:, :, start:stop])


def _norm(block: ConvBlock) -> OneImageNorm | None:
    return next((part for part in block.children() if isinstance(part, OneImageNorm)), None)


def _fix(block: ConvBlock, statistics: _Statistics) -> None:
    norm = _norm(block)
    if norm is not None:
        norm.fixed = statistics.fixed()


def _finish(block: ConvBlock, x: Tensor) -> Tensor:
    """Normalise and activate what a block's convolution returned; x stays as it is."""
    norms = [part for part in block.children() if isinstance(part, (OneImageNorm, nn.BatchNorm2d))]
    x = norms[0](x) if norms else x.clone()
    return block.activation(x) if block.activation else x


def _geometry(block: ConvBlock) -> tuple[int, int, int]:
    """(kernel, stride, padding) of a block's convolution."""
    conv = block.conv
    padding = block.pad.padding[0] if block.pad else conv.padding[0]
    return conv.kernel_size[0], conv.stride[0], padding


def _output_height(block: ConvBlock, height: int) -> int:
    kernel, stride, padding = _geometry(block)
    if isinstance(block.conv, nn.ConvTranspose2d):
        return height * stride
    height = height * 2 if block.enlarge else height
    height = (height + 2 * padding - kernel) // stride + 1
    return height * 2 if block.shuffle else height


def _rows_needed(block: ConvBlock, start: int, stop: int, height: int) -> tuple[int, int]:
    """Rows of the input, of `height` rows, that output rows start..stop are computed from."""
    kernel, stride, padding = _geometry(block)
    if isinstance(block.conv, nn.ConvTranspose2d):
        # Kernel 3, stride 2: row 2i is made of input row i, row 2i+1 of i and i+1.
        return start // 2, min((stop - 1) // 2 + 2, height)
    if block.shuffle:
        start, stop = start // 2, -(-stop // 2)
    low, high = start * stride - padding, (stop - 1) * stride + kernel - padding
    if block.enlarge:
        low, high = max(low, 0) // 2, -(-min(high, 2 * height) // 2)
    return max(low, 0), min(high, height)


def _convolve(block: ConvBlock, x: Tensor, low: int, height: int, start: int, stop: int) -> Tensor:
    """Output rows start..stop of a block's convolution from its input rows `low` and further.

    Args:
        block: The block; norm and activation are left out.
        x: Input rows as `_rows_needed` says.
        low: Number of the first of them.
        height: Rows of the whole input.
        start: First row that is returned.
        stop: End of the rows that are returned.
    """
    if isinstance(block.conv, nn.ConvTranspose2d):
        return block.conv(x)[:, :, start - 2 * low : stop - 2 * low]
    if block.shuffle:
        first = start // 2
        x = block.shuffle(_convolve_rows(block, x, low, height, first, -(-stop // 2)))
        x = x.contiguous(memory_format=torch.channels_last)
        return x[:, :, start - 2 * first : stop - 2 * first]
    return _convolve_rows(block, x, low, height, start, stop)


def _convolve_rows(
    block: ConvBlock, x: Tensor, low: int, height: int, start: int, stop: int
) -> Tensor:
    """The same of what is no transposed convolution, before a pixel shuffle."""
    kernel, stride, padding = _geometry(block)
    if block.enlarge:
        x, low, height = block.enlarge(x), 2 * low, 2 * height
        wanted = max(start - padding, 0), min(stop - 1 + kernel - padding, height)
        x, low = x[:, :, wanted[0] - low : wanted[1] - low], wanted[0]
    top = max(0, padding - start * stride)
    bottom = max(0, (stop - 1) * stride + kernel - padding - height)
    mode = _PAD_MODES.get(type(block.pad), "constant")
    x = F.pad(x, (padding, padding, top, bottom), mode)
    if block.conv.padding == (0, 0):
        return block.conv(x)
    conv = block.conv
    return F.conv2d(x, conv.weight, conv.bias, conv.stride, groups=conv.groups)
