"""What is measured: distances between sets of features, and between pictures."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from skimage.metrics import structural_similarity

SUBSETS, SUBSET_SIZE, SEED = 100, 1000, 2020  # torch-fidelity's own
ENOUGH_IMAGES = 100  # Below it the figures of one model spread widely.
LEAST_IMAGES = 4  # A subset of KID is half of the smaller set, and a pair at least.


def subset_size(*counts: int) -> int:
    """Images in each of KID's subsets: half of the smallest set, so that they differ; 1000 at most.

    Raises:
        ValueError: If a set is too small.
    """
    if min(counts) < LEAST_IMAGES:
        raise ValueError(
            f"KID and FID need at least {LEAST_IMAGES} images in each set, and a hundred to mean "
            f"much; got {' and '.join(map(str, counts))}"
        )
    return min(SUBSET_SIZE, min(counts) // 2)


def kid(made: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    """Kernel Inception Distance (Bińkowski et al. 2018, https://arxiv.org/abs/1801.01401).

    Args:
        made: Features, float32 (N, D).
        reference: Features, float32 (M, D).

    Returns:
        `kid` and `kid_std`: mean and standard deviation over torch-fidelity's random subsets of
        `subset_size` images. `kid_all`: the same estimate once from all pairs of images.

    Raises:
        ValueError: If a set is too small.
    """
    from torch_fidelity.metric_kid import kid_features_to_metric

    found = kid_features_to_metric(
        torch.from_numpy(made),
        torch.from_numpy(reference),
        kid_subsets=SUBSETS,
        kid_subset_size=subset_size(len(made), len(reference)),
        rng_seed=SEED,
        verbose=False,
    )
    return dict(
        kid=found["kernel_inception_distance_mean"],
        kid_std=found["kernel_inception_distance_std"],
        kid_all=kid_of_all(made, reference),
    )


def kid_of_all(made: np.ndarray, reference: np.ndarray) -> float:
    """The unbiased estimate of the squared MMD from all pairs, with k(x, y) = (x.y / D + 1)^3."""
    x, y = made.astype(np.float64), reference.astype(np.float64)

    def total(a: np.ndarray, b: np.ndarray) -> float:
        # Row by row, so that many images take no more memory.
        return sum(((b @ row / len(row) + 1) ** 3).sum() for row in a)

    def of_others(a: np.ndarray) -> float:
        itself = (((a * a).sum(1) / a.shape[1] + 1) ** 3).sum()
        return (total(a, a) - itself) / (len(a) * (len(a) - 1))

    return float(of_others(x) + of_others(y) - 2 * total(x, y) / (len(x) * len(y)))


def fid(made: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    """Fréchet Inception Distance (Heusel et al. 2017, https://arxiv.org/abs/1706.08500).

    It is biased upwards for few images: compare it only at equal counts.

    Returns:
        `fid`: torch-fidelity's, or the same number by way of the images where there are fewer than
        features, in a hundredth of the time.

    Raises:
        ValueError: If a set is too small.
    """
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    subset_size(len(made), len(reference))
    if len(made) + len(reference) <= made.shape[1]:
        return dict(fid=fid_of_few(made, reference))
    sides = [fid_features_to_statistics(torch.from_numpy(f)) for f in (made, reference)]
    return dict(fid=fid_statistics_to_metric(*sides, False)["frechet_inception_distance"])


def fid_of_few(made: np.ndarray, reference: np.ndarray) -> float:
    """FID by the singular values of an (N, M) matrix instead of eigenvalues of a (D, D) one.

    With centred features X, Y divided by sqrt(N - 1), sqrt(M - 1) the covariances are X'X and Y'Y,
    and tr sqrt(X'X Y'Y) is the sum of the singular values of X Y'.
    """
    a, b = made.astype(np.float64), reference.astype(np.float64)
    difference = a.mean(0) - b.mean(0)
    x, y = ((f - f.mean(0)) / np.sqrt(len(f) - 1) for f in (a, b))
    shared = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    return float(difference @ difference + (x**2).sum() + (y**2).sum() - 2 * shared)


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Structural similarity of luminance (Wang et al. 2004): 1 for the same picture.

    Args:
        a: uint8 (H, W, C), BGR if C is 3.
        b: The same size.
    """
    a, b = luminance(a), luminance(b)
    # Gaussian windows of sigma 1.5, 11 pixels wide, as in the paper; smaller pictures take less.
    sigma = max(1e-3, min(1.5, (min(a.shape) - 1) / 2 / 3.5 - 1e-6))
    return float(
        structural_similarity(
            *(a, b), data_range=255, gaussian_weights=True, sigma=sigma, use_sample_covariance=False
        )
    )


def luminance(image: np.ndarray) -> np.ndarray:
    """uint8 (H, W, C), BGR if C is 3, to uint8 (H, W)."""
    if image.shape[2] == 3:
        return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2GRAY)
    return image[:, :, 0]


def cycle_error(source: np.ndarray, cycled: np.ndarray) -> float:
    """Mean absolute difference of two uint8 pictures, 0 to 255."""
    return float(np.abs(source.astype(np.int16) - cycled).mean())
