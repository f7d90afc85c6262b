"""CUT: its loss against the obvious one, where gradients go, and what is not computed."""

import math

import pytest
import torch
from mmgen.core import build_optimizers
from mmgen.models import BaseTranslationModel, build_model

from mmgen_ext.models.chain import plain_layers
from mmgen_ext.models.patch_nce import choose_patches, patch_nce, take_patches

GENERATOR = dict(type="mmgen_ext.ResnetGenerator", base_channels=4, num_blocks=2)
DISCRIMINATOR = dict(type="mmgen_ext.PatchDiscriminator", base_channels=4, num_conv=2)
SGD = dict(type="SGD", lr=0.01)
PARTS = ("generators", "discriminators", "projections")


def build(**options):
    config = dict(
        type="mmgen_ext.CUT",
        generator=GENERATOR,
        discriminator=DISCRIMINATOR,
        domains=["monet", "photo"],
        default_domain="monet",
        num_patches=20,
    )
    return build_model({**config, **options})


def batch(n=1):
    return {f"img_{d}": torch.rand(n, 3, 32, 32) * 2 - 1 for d in ("monet", "photo")}


def optimizers(model, parts=PARTS):
    return build_optimizers(model, dict.fromkeys(parts, SGD))


def obvious_patch_nce(query, key, temperature):
    """Patch by patch, the cross entropy of the own one among all of the picture."""
    losses = []
    for q, k in zip(query, key, strict=True):
        total = 0.0
        for s in range(len(q)):
            scores = [math.exp((q[s] @ other).item() / temperature) for other in k]
            total -= math.log(scores[s] / sum(scores))
        losses.append(total / len(q))
    return losses


def test_contrast_is_the_obvious_one_patch_by_patch():
    query, key = (
        torch.nn.functional.normalize(torch.randn(2, 9, 8, dtype=torch.float64), dim=2)
        for _ in range(2)
    )
    made = patch_nce(query, key, 0.07)
    assert made.tolist() == pytest.approx(obvious_patch_nce(query, key, 0.07), abs=1e-6)
    close = patch_nce(query, query, 0.07)
    assert (close < made).all()


def test_patches_are_what_stands_at_their_places_in_any_memory_format():
    features = torch.randn(2, 5, 4, 6)
    places = choose_patches(24, 7, (1, 2, 3))
    assert len(set(places.tolist())) == 7
    assert torch.equal(places, choose_patches(24, 7, (1, 2, 3)))
    for other in ((2, 2, 3), (1, 3, 3), (1, 2, 4)):
        assert not torch.equal(places, choose_patches(24, 7, other))
    assert sorted(choose_patches(5, 256, (0,)).tolist()) == list(range(5))
    for format in (torch.contiguous_format, torch.channels_last):
        taken = take_patches(features.to(memory_format=format), places)
        for i, place in enumerate(places.tolist()):
            assert torch.equal(taken[:, i], features[:, :, place // 6, place % 6])


def test_model_is_a_translation_model_of_one_direction():
    model = build()
    assert isinstance(model, BaseTranslationModel)
    names = {key.split(".")[1] for key in model.state_dict() if "ators" in key.split(".")[0]}
    assert names == {"monet"}
    assert model.is_domain_reachable("monet") and not model.is_domain_reachable("photo")
    assert (
        model(batch()["img_photo"], test_mode=True, target_domain="monet")["target"].shape[1] == 3
    )
    assert build(default_domain=None).source == "monet"  # B is made


@pytest.mark.parametrize("identity", [True, False])
def test_step_learns_in_every_part_from_a_loss_that_is_made_of_the_two_pictures(identity):
    model = build(nce_identity=identity, nce_weight=3.0).train()
    data = batch(2)
    reals = {d: data[f"img_{d}"] for d in ("photo", "monet")}
    # As the paper's code does: encoder features of both, each by a pass of its own.
    expected = []
    for x in reals.values():
        pair = [
            model.generators["monet"](image, model.nce_layers)[1]
            for image in (x, model.generators["monet"](x))
        ]
        contrasts = []
        for i, (key, query) in enumerate(zip(*pair, strict=True)):
            size = key.shape[2] * key.shape[3]
            places = choose_patches(size, 20, (model.seed, 5, model.nce_layers[i]))
            layers = model.projections.layers[i]
            q, k = (
                torch.nn.functional.normalize(layers(take_patches(f, places)), dim=2)
                for f in (query, key)
            )
            contrasts.append(sum(obvious_patch_nce(q, k, 0.07)) / 2)
        expected.append(3.0 * sum(contrasts) / len(contrasts))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    status = dict(iteration=5)
    logged = model.train_step(data, optimizers(model), running_status=status)["log_vars"]
    names = ["nce_loss", "nce_id_loss"][: 1 + identity]
    assert set(logged) == {"loss_gan_d_monet", "loss_gan_g_monet", "loss", *names}
    for name, value in zip(names, expected, strict=False):
        assert float(logged[name]) == pytest.approx(value / len(names), rel=1e-4)
    # Biases before instance norm have no effect, as everywhere.
    still = [n for n, v in model.state_dict().items() if torch.equal(v, before[n])]
    assert all(name.endswith("conv.bias") for name in still)


@pytest.mark.parametrize(
    ("options", "whole", "encoded"),
    [({}, 2, 2), (dict(nce_identity=False), 1, 1), (dict(nce_weight=0.0), 1, 0)],
)
def test_what_has_no_weight_is_not_computed(options, whole, encoded):
    model, ends, blocks = build(**options), [], []
    network = model.generators["monet"].model
    network[-1].register_forward_hook(lambda *args: ends.append(len(args[2])))
    network[3].register_forward_hook(lambda *args: blocks.append(len(args[2])))
    model.train_step(batch(), optimizers(model))
    assert sum(ends) == whole  # pictures
    assert sum(blocks) == whole + encoded


def test_fused_layers_give_the_same_features_and_gradients():
    model, x = build(), torch.rand(1, 3, 32, 32)
    network, gradients = model.generators["monet"].train(), []
    network.fuse()
    for plain in (True, False):
        with plain_layers() if plain else torch.enable_grad():
            y, features = network(x, model.nce_layers)
            _, again = network(y, model.nce_layers, to_end=False)
            sum(f.square().mean() for f in [*features, *again]).backward()
        gradients.append([p.grad.clone() for p in network.parameters()] + features + again)
        network.zero_grad()
    for a, b in zip(*gradients, strict=True):
        assert (a - b).norm().item() < 1e-4 * a.norm().item() + 1e-4


def test_what_both_halvings_give_is_compared_where_they_blur_too():
    plain, blurred = (
        build(generator={**GENERATOR, "downsample": kind}).nce_layers for kind in ("stride", "blur")
    )
    assert (plain, blurred) == ([0, 2, 3, 4, 5], [0, 3, 5, 6, 7])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_switches_of_cyclegan_that_are_not_of_its_cycle_work_here(precision):
    model = build(
        generator={**GENERATOR, "upsample": "subpixel", "downsample": "blur", "global_skip": True},
        discriminator={**DISCRIMINATOR, "type": "mmgen_ext.MultiscaleDiscriminator"},
        gan_loss=dict(type="mmgen_ext.GANLoss", r1_weight=1.0),
        discriminator_augment="color,translation,cutout",
    )
    model.precision = precision
    logged = model.train_step(batch(), optimizers(model))["log_vars"]
    assert all(torch.isfinite(value) for value in logged.values())


def test_the_judge_learns_that_untranslated_pictures_are_not_its_own():
    model = build(source_negatives=0.5)
    real = {d: batch()[f"img_{d}"] for d in ("monet", "photo")}
    fake = -real["photo"]
    found = model.discriminator_losses(real, {"monet": fake}, model.pools)
    judge = model.discriminators["monet"]
    terms = (judge(real["monet"]) - 1, judge(fake), judge(real["photo"]))
    expected = sum(w * t.square().mean() for w, t in zip((0.5, 0.5, 0.25), terms, strict=True))
    assert found.keys() == {"loss_gan_d_monet"}
    assert found["loss_gan_d_monet"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_batch_norm_keeps_the_two_pictures_in_passes_of_their_own():
    model, sizes = build(generator={**GENERATOR, "norm": "batch"}), []
    model.generators["monet"].register_forward_hook(lambda *args: sizes.append(len(args[1][0])))
    assert "nce_id_loss" in model.train_step(batch(), optimizers(model))["log_vars"]
    assert sizes == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(nce_layers=[0, 6]), r"nce_layers=\[0, 6\]; expected rising numbers from 0.* to 5,"),
        (dict(nce_layers=[2, 0]), "rising"),
        (dict(generator=dict(type="mmgen_ext.UnetGenerator", num_down=5)), "UnetGenerator; take"),
        (dict(channels=dict(monet=3, photo=1)), "3 channels of 1; .* Train mmgen_ext.CycleGAN"),
        (dict(num_patches=1), "at least 2 patches"),
        (dict(cycle_weight=10.0), "got cycle_weight, which CUT has not; expected nce_weight"),
        (dict(cycle_ssim=0.5), "got cycle_ssim, which CUT has not"),
        (dict(default_domain="manet"), "is none of the domains"),
    ],
)
def test_what_cannot_be_is_said(options, words):
    with pytest.raises(ValueError, match=words):
        build(**options)


def test_a_config_without_an_optimizer_of_the_projections_is_told_what_to_add():
    model = build()
    with pytest.raises(ValueError, match="Add to the config: optimizer=dict"):
        model.train_step(batch(), optimizers(model, PARTS[:2]))
