"""The cycle loss, by pixels, structure and features."""

import numpy as np
import pytest
import torch
from mmgen.models import build_module
from skimage.metrics import structural_similarity

from mmgen_ext.models import PatchDiscriminator
from mmgen_ext.models.chain import plain_layers
from mmgen_ext.models.cycle import cycle_loss, feature_distance, ssim
from mmgen_ext.pictures import image_to_tensor


@pytest.fixture(scope="module")
def pair(photos):
    """A photograph (1, 3, 64, 80) in [-1, 1], and the same with noise and less contrast."""
    photo = image_to_tensor(np.ascontiguousarray(photos["coffee"][100:164, 200:280]))[None]
    noise = torch.randn(photo.shape, generator=torch.Generator().manual_seed(0))
    return photo, (0.7 * photo + 0.1 * noise).clamp(-1, 1)


def test_ssim_equals_scikit_images(pair):
    x, y = (each[0].double().numpy() for each in pair)
    options = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    expected = structural_similarity(x, y, data_range=2, channel_axis=0, **options)
    assert 0.3 < expected < 0.9
    assert ssim(*pair).item() == pytest.approx(expected, abs=1e-5)
    with torch.autocast("cpu", torch.bfloat16):  # where variances would drown
        assert ssim(*pair).item() == pytest.approx(expected, abs=1e-5)
    assert ssim(pair[0], pair[0]).item() == pytest.approx(1, abs=1e-6)


def test_descending_the_loss_makes_pictures_more_alike(pair):
    real, start = pair
    x = start.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(cycle_loss(x, real, 10.0, ssim_share=1.0), x)
    better = start - 0.5 * gradient / gradient.norm()
    assert ssim(better, real) > ssim(start, real) + 1e-4


def test_small_differences_may_count_by_their_squares(pair):
    real, cycle = pair
    d = (cycle - real).abs()
    assert (d < 0.1).any() and (d > 0.1).any()
    expected = torch.where(d < 0.1, d * d / 0.2, d - 0.05).mean() * 10
    found = cycle_loss(cycle, real, 10.0, beta=0.1)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    x = real.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(cycle_loss(x, real + 1e-3, 10.0, beta=0.1), x)
    assert gradient.abs().max() < 0.011 * 10 / d.numel()  # where |x| pulls with 10


def test_what_is_finer_than_the_scale_may_be_lost(pair):
    real, cycle = pair
    small = [x.unflatten(3, (20, 4)).unflatten(2, (16, 4)).mean((3, 5)) for x in pair]
    assert small[0].shape == (1, 3, 16, 20)
    found = cycle_loss(cycle, real, 10.0, 0.6, scale=4)
    expected = cycle_loss(small[1], small[0], 10.0, 0.6)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    stripes = real + torch.tensor([0.3, 0.3, -0.3, -0.3]).repeat(20)
    assert cycle_loss(stripes, real, 10.0, scale=4) < 1e-5 < cycle_loss(stripes, real, 10.0)
    # At a border that is no multiple, means of what is there.
    edge = torch.zeros(1, 3, 6, 6)
    edge[..., 4:, 4:] = 1.0
    assert cycle_loss(edge, torch.zeros_like(edge), 1.0, scale=4).item() == pytest.approx(1 / 4)


def test_small_pictures_are_answered_with_the_size_that_is_needed():
    with pytest.raises(ValueError, match=r"at least 11 x 11 pixels, and got 8 x 32"):
        ssim(torch.zeros(1, 3, 8, 32), torch.zeros(1, 3, 8, 32))


def test_shares_mix_pixels_structure_and_features(pair):
    real, cycle = pair
    network = PatchDiscriminator(base_channels=4, num_conv=2)
    last = network.model[-1]
    read = []
    last.register_forward_pre_hook(lambda module, inputs: read.append(inputs[0]))
    network(cycle), network(real)
    pixels = (cycle - real).abs().mean().item()
    features = (read[0] - read[1]).abs().mean().item()
    structure = (1 - ssim(cycle, real).item()) / 2
    expected = 10 * (0.3 * features + 0.7 * (0.4 * pixels + 0.6 * structure))
    found = cycle_loss(cycle, real, 10.0, 0.6, 0.3, network)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    # Off, it is the plain loss to the bit.
    assert torch.equal(cycle_loss(cycle, real, 10.0), (10.0 * (cycle - real).abs()).mean())


def test_features_are_the_same_fused_and_teach_the_reconstruction_alone(pair):
    real, cycle = pair
    network = PatchDiscriminator(base_channels=4, num_conv=2, init_cfg=dict(gain=0.2))
    network.requires_grad_(False)
    network.fuse()
    with plain_layers():
        expected = feature_distance(network, cycle, real)
    x, y = cycle.clone().requires_grad_(), real.clone().requires_grad_()
    found = feature_distance(network, x, y)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    found.backward()
    assert x.grad.abs().max() > 0 and y.grad is None


def test_a_discriminator_without_features_is_answered_with_one_that_has(pair):
    theirs = dict(type="PatchDiscriminator", in_channels=3, base_channels=4, num_conv=2)
    with pytest.raises(ValueError, match=r"Take mmgen_ext.PatchDiscriminator, or 0"):
        feature_distance(build_module(theirs), *pair)
