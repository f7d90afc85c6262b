"""Measures of a training's health: pure functions of pictures and logits.

Pictures are float32 (N, C, H, W) in [-1, 1], BGR where C is 3; a fake stands where its source does.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.114, 0.587, 0.299)  # of blue, green, red: ITU-R BT.601
GREY_LEVEL = 2 / 255  # of 8 bits: pictures that differ by less are the same picture
TILE = 32  # pixels of a spectrum
THUMBNAIL = 32


def thumbnails(images: Tensor) -> Tensor:
    """Area averages (N, C, 32, 32)."""
    return F.adaptive_avg_pool2d(images, THUMBNAIL)


def luminance(images: Tensor) -> Tensor:
    """Brightness (N, 1, H, W): BT.601 of three channels, the mean of any other number."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    return (images * images.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def luminance_correlation(source: Tensor, fake: Tensor) -> Tensor:
    """Pearson's r of source's and fake's brightness on thumbnails: (N,) in [-1, 1].

    It is 0 for flat pictures. The channels of the two may differ.
    """
    a, b = (thumbnails(luminance(x)).flatten(1) for x in (source, fake))
    a, b = (x - x.mean(1, keepdim=True) for x in (a, b))
    least = GREY_LEVEL / 2 * a.shape[1] ** 0.5  # The norm of what is flat in 8 bits.
    return (a * b).sum(1) / (a.norm(dim=1).clamp_min(least) * b.norm(dim=1).clamp_min(least))


def change(source: Tensor, fake: Tensor) -> Tensor:
    """E|fake - source| / E|source - its mean|: (), 0 is no change, 1 as much as its contrast."""
    contrast = (source - source.mean((2, 3), keepdim=True)).abs().mean()
    return (fake - source).abs().mean() / contrast.clamp_min(GREY_LEVEL / 2)


def spread(images: Tensor) -> Tensor:
    """How far apart the more alike of the pictures are: () in [0, about 1.4].

    The lower quartile, over all pairs, of the root mean square difference of two thumbnails, each
    with every channel's mean 0 and all of it scaled to variance 1. So brightness and contrast do
    not count, and a few repeated pictures neither, but two or three modes do.
    """
    x = thumbnails(images)
    x = (x - x.mean((2, 3), keepdim=True)).flatten(1)
    x = x / x.square().mean(1, keepdim=True).sqrt().clamp_min(GREY_LEVEL / 2)
    i, j = torch.triu_indices(len(x), len(x), 1, device=x.device)
    return (x[i] - x[j]).square().mean(1).sqrt().quantile(0.25)


def relative_spread(fake: Tensor, source: Tensor, target: Tensor) -> float | None:
    """Spread of the fakes / that of their sources, or of real pictures of the target, if lower.

    0 is one picture for all, 1 as different as real ones.

    Returns:
        None if real pictures are too few or too alike to tell.
    """
    if min(len(fake), len(source), len(target)) < 4:
        return None
    least = min(float(spread(source)), float(spread(target)))
    return float(spread(fake)) / least if least > 0.1 else None


def grid_energy(images: Tensor) -> float | None:
    """Energy per pixel that stands out at periods of 4 and 2 pixels: about 0 without a grid.

    Transposed convolutions of stride 2 leave such grids (Odena et al. 2016,
    https://doi.org/10.23915/distill.00003). Tiles of 32 x 32 under a Hann window; P is the mean
    power of 3 x 3 frequencies and of the channels; f are the multiples of 1/4 per pixel, but 0:

        median over tiles of  9 / 32^2 sum_f (P(f) - mean of P at 4 bins beside f)

    A grid of amplitude a, as a (-1)^(x + y), has a^2.

    Returns:
        None if pictures are smaller than a tile.
    """
    n, c, h, w = images.shape
    if min(h, w) < TILE:
        return None
    tiles = F.unfold(images, TILE, stride=TILE).view(n, c, TILE, TILE, -1)
    tiles = tiles.permute(0, 4, 1, 2, 3).flatten(0, 1)  # (N * tiles, C, 32, 32)
    window = torch.hann_window(TILE, device=images.device)
    window = window[:, None] * window
    mean = (tiles * window).sum((2, 3), keepdim=True) / window.sum()
    power = torch.fft.fft2((tiles - mean) * window).abs().square() / window.square().sum()
    power = power.mean(1, keepdim=True)  # (N * tiles, 1, 32, 32); all of it is 32^2 variances
    local = F.avg_pool2d(F.pad(power, (1, 1, 1, 1), mode="circular"), 3, 1)[:, 0]
    beside_y, beside_x = ((local.roll(4, d) + local.roll(-4, d)) / 2 for d in (1, 2))
    beside = (beside_y + beside_x) / 2
    # On the axes lie the edges of all that is upright or level: compared along the axis.
    beside[:, 0], beside[:, :, 0] = beside_x[:, 0], beside_y[:, :, 0]
    grid = (local - beside)[:, :: TILE // 4, :: TILE // 4].flatten(1)[:, 1:].sum(1)
    return float((9 / TILE**2 * grid).median())


def checkerboard(fake: Tensor, source: Tensor, target: Tensor) -> float | None:
    """Amplitude of the fakes' grid, above that of their sources and of the target's real pictures.

    So neither JPEG's blocks nor woven cloth in real pictures, nor a source's that are kept, count.

    Returns:
        The square root of the energy, or of a lack of it as a negative number: in about [-0.1, 1].
    """
    found = [grid_energy(images) for images in (fake, source, target)]
    if None in found:
        return None
    excess = found[0] - max(0.0, *found[1:])
    return math.copysign(math.sqrt(abs(excess)), excess)


def accuracy(real_logits: Tensor, fake_logits: Tensor, boundary: float | None) -> Tensor:
    """How a discriminator judges one step's pictures: () in [0, 1].

    The share of patches judged rightly, on the kind, real or fake, that it judges worse: 1 is never
    wrong, 0 has one word for all. A critic (boundary None) has no boundary: the share of pairs in
    which the real patch scores higher.

    Args:
        real_logits: Of real pictures, any shape.
        fake_logits: Of fakes, any shape.
        boundary: Logit between fake and real.
    """
    real, fake = real_logits.flatten().float(), fake_logits.flatten().float()
    if boundary is None:
        # Mann and Whitney's U in n log n: how many fakes lie below each real, ties half.
        ordered = fake.sort().values
        below = torch.searchsorted(ordered, real) + torch.searchsorted(ordered, real, right=True)
        return below.float().mean() / (2 * len(fake))
    return torch.minimum((real > boundary).float().mean(), (fake < boundary).float().mean())
