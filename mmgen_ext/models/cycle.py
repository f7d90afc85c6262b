"""How like a reconstruction is to its original: by pixels, structure, and discriminators' eyes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .losses import l1_loss

WINDOW, SIGMA = 11, 1.5  # pixels


def cycle_loss(
    cycle: Tensor,
    real: Tensor,
    weight: float,
    ssim_share: float = 0.0,
    feature_share: float = 0.0,
    discriminator: nn.Module | None = None,
    beta: float = 0.0,
    scale: int = 1,
) -> Tensor:
    """Weight times a mixture of distances between two batches (N, C, H, W) in [-1, 1].

    With s and f the shares: f |D'(x) - D'(y)| + (1 - f) [(1 - s) |x - y| + s (1 - SSIM(x, y)) / 2].
    SSIM after Zhao et al. 2017 (https://arxiv.org/abs/1511.08861) and Godard et al. 2017,
    features D' after Wang and Lin 2018 (CycleGAN with better cycles).

    Args:
        cycle: What there and back has returned.
        real: The originals.
        weight: Of the whole.
        ssim_share: From 0 to 1; 0 is not computed.
        feature_share: From 0 to 1; 0 is not computed.
        discriminator: Of the originals' domain, for its features.
        beta: Differences d = |x - y| of pixels up to this count as d^2 / (2 beta), and larger ones
            as d - beta / 2 (smooth L1, Girshick 2015); 0 is |x - y|.
        scale: Pixels and structure are compared of pictures smaller by this factor, means of
            squares; features are not.
    """
    of_pixels = weight * (1 - feature_share)
    share = of_pixels * (1 - ssim_share)
    pair = [F.avg_pool2d(x, scale, ceil_mode=True) if scale > 1 else x for x in (cycle, real)]
    loss = share * F.smooth_l1_loss(*pair, beta=beta) if beta else l1_loss(*pair, share)
    if ssim_share:
        loss = loss + of_pixels * ssim_share * (1 - ssim(*pair)) / 2
    if feature_share:
        loss = loss + weight * feature_share * feature_distance(discriminator, cycle, real)
    return loss


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Mean structural similarity of x and y (N, C, H, W) in [-1, 1]: a scalar, 1 where equal.

    With a Gaussian window, of each channel, without the border (Wang et al. 2004). Computed in
    float32: the variances are small differences.

    Raises:
        ValueError: If the pictures are smaller than the window.
    """
    if min(x.shape[2:]) < WINDOW:
        raise ValueError(
            f"SSIM needs pictures of at least {WINDOW} x {WINDOW} pixels, and got "
            f"{x.shape[2]} x {x.shape[3]}; set model.cycle_ssim=0"
        )
    x, y = x.float(), y.float()
    rows, columns = (window_means(side, x.device) for side in x.shape[2:])
    with torch.autocast(x.device.type, enabled=False):
        means = rows @ torch.cat([x, y, x * x, y * y, x * y]) @ columns.T
    mx, my, xx, yy, xy = means.chunk(5)
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2  # of the range of values, 2
    above = (2 * mx * my + c1) * (2 * (xy - mx * my) + c2)
    below = (mx**2 + my**2 + c1) * (xx - mx**2 + yy - my**2 + c2)
    return (above / below).mean()


def window_means(side: int, device: torch.device) -> Tensor:
    """A matrix (side - WINDOW + 1, side) whose rows are the window at each place.

    A product with it is ten times as fast on a CPU as a convolution of single channels.
    """
    reach = WINDOW // 2
    at = torch.arange(side, device=device)
    off = at - at[reach:-reach, None]
    weights = torch.exp(-(off**2) / (2 * SIGMA**2)) * (off.abs() <= reach)
    return weights / weights.sum(1, keepdim=True)


def feature_distance(discriminator: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """E[|D'(x) - D'(y)|] of what the discriminator's last convolution reads; y is not learned from.

    Raises:
        ValueError: If the discriminator does not tell.
    """
    features = getattr(discriminator, "features", None)
    if features is None:
        raise ValueError(
            f"cycle_features needs a discriminator of mmgen_ext, which tells its features; "
            f"{type(discriminator).__name__} does not. Take mmgen_ext.PatchDiscriminator, or 0"
        )
    pairs = list(zip(features(x), features(y), strict=True))
    return sum((a.float() - b.detach().float()).abs().mean() for a, b in pairs) / len(pairs)
