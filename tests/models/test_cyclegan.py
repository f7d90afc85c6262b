"""One step of CycleGAN, against mmgen's and against the paper's words."""

import copy

import pytest
import torch
from mmcv import Config
from mmgen.core import build_optimizers
from mmgen.models import BaseTranslationModel, build_model

from mmgen_ext.models.chain import plain_layers
from mmgen_ext.models.precision import LossScale
from mmgen_ext.training.speed import make_fast

GENERATOR = dict(type="mmgen_ext.ResnetGenerator", base_channels=4, num_blocks=1)
DISCRIMINATOR = dict(type="mmgen_ext.PatchDiscriminator", base_channels=4, num_conv=2)
SGD = dict(type="SGD", lr=0.01)


def build(**options):
    config = dict(
        type="mmgen_ext.CycleGAN",
        generator=GENERATOR,
        discriminator=DISCRIMINATOR,
        domains=["monet", "photo"],
    )
    return build_model({**config, **options})


def build_mmgens(identity=0.5):
    def l1(name, pred, weight):
        return [
            dict(
                type="L1Loss",
                loss_weight=weight,
                loss_name=name,
                data_info=dict(pred=f"{pred}_{d}", target=f"real_{d}"),
                reduction="mean",
            )
            for d in ("monet", "photo")
        ]

    return build_model(
        dict(
            type="CycleGAN",
            generator=dict(
                type="ResnetGenerator", in_channels=3, out_channels=3, base_channels=4, num_blocks=1
            ),
            discriminator=dict(
                type="PatchDiscriminator",
                in_channels=3,
                base_channels=4,
                num_conv=2,
                norm_cfg=dict(type="IN"),
            ),
            gan_loss=dict(type="GANLoss", gan_type="lsgan"),
            default_domain="photo",
            reachable_domains=["monet", "photo"],
            related_domains=["monet", "photo"],
            gen_auxiliary_loss=l1("cycle_loss", "cycle", 10.0)
            + l1("id_loss", "identity", identity),
        ),
        train_cfg=dict(buffer_size=50),
    )


def batch(n=1, size=32, channels=(3, 3)):
    generator = torch.Generator().manual_seed(0)
    return {
        f"img_{d}": torch.rand(n, c, size, size, generator=generator) * 2 - 1
        for d, c in zip(("monet", "photo"), channels, strict=True)
    }


def optimizers(model, config=SGD):
    return build_optimizers(model, dict(generators=config, discriminators=config))


def test_model_is_a_translation_model_of_mmgens():
    model = build()
    assert isinstance(model, BaseTranslationModel)
    assert model.get_other_domains("monet") == ["photo"]
    assert model._default_domain == "photo"


@pytest.mark.parametrize("identity", [0.5, 5.0])
def test_step_logs_mmgens_losses_from_equal_weights(identity):
    theirs, ours = build_mmgens(identity), build(identity_weight=identity)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    data = batch()
    expected = theirs.train_step(data, optimizers(theirs))["log_vars"]
    logged = ours.train_step(data, optimizers(ours))["log_vars"]
    assert set(logged) == set(expected)
    # The discriminators' losses, and all of the generators' that do not depend on who goes first.
    for name in ("loss_gan_d_monet", "loss_gan_d_photo", "cycle_loss", "id_loss"):
        assert logged[name].item() == pytest.approx(expected[name], abs=1e-6)


def test_generators_learn_what_mmgens_learn_from_an_untouched_discriminator():
    # mmgen updates D first; with its learning rate at zero the order does not matter.
    # With some seeds a pixel lies so near to a kink of ReLU or |x| that rounding takes it across,
    # which differs where two passes are one batch.
    torch.manual_seed(1)
    theirs, ours = build_mmgens(5.0), build(identity_weight=5.0)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    for model in (theirs, ours):
        still = dict(generators=SGD, discriminators=dict(type="SGD", lr=0.0))
        optimizer = build_optimizers(model, still)
        for _ in range(2):
            logged = model.train_step(batch(), optimizer)["log_vars"]
    for (name, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert torch.allclose(a, b, atol=1e-6), name
    assert logged["loss"] == pytest.approx(float(logged["loss"]))


def test_generators_are_updated_before_discriminators():
    model = build()
    order = []

    class Watched(torch.optim.SGD):
        def step(self, *args, **kwargs):
            order.append(self.name)
            return super().step(*args, **kwargs)

    watched = {}
    for name in ("discriminators", "generators"):
        watched[name] = Watched(getattr(model, name).parameters(), lr=0.1)
        watched[name].name = name
    model.train_step(batch(), watched)
    assert order == ["generators", "discriminators"]


def test_generator_step_leaves_no_gradient_in_discriminators_and_none_are_switched_off_after():
    model = build()
    real = {d: batch()[f"img_{d}"] for d in ("monet", "photo")}
    model.train_step(batch(), optimizers(model))
    assert all(p.requires_grad for p in model.parameters())
    fake = {"monet": model.generators["monet"](real["photo"])}
    assert fake["monet"].requires_grad


@pytest.mark.parametrize(("weight", "passes"), [(5.0, 6), (0.0, 4)])
def test_identity_weight_zero_saves_two_generator_passes_of_six(weight, passes):
    model, count = build(identity_weight=weight), []
    for network in model.generators.values():
        network.register_forward_hook(lambda *args: count.append(len(args[2])))
    logged = model.train_step(batch(), optimizers(model))["log_vars"]
    assert sum(count) == passes  # counted in images: some passes are of two
    assert ("id_loss" in logged) == bool(weight)


def test_default_identity_weight_is_five_absolute():
    model = build()
    real = {d: batch()[f"img_{d}"] for d in ("monet", "photo")}
    fake = {"photo": model.generators["photo"](real["monet"])}
    fake["monet"] = model.generators["monet"](real["photo"])
    loss = model.generator_losses(real, fake)["id_loss"]
    plain = sum((model.generators[d](real[d]) - real[d]).abs().mean() for d in real)
    assert loss.item() == pytest.approx(5 * plain.item(), rel=1e-5)


@pytest.mark.parametrize("gan_type", ["lsgan", "vanilla", "hinge", "wgan-gp"])
@pytest.mark.parametrize("generator", ["resnet", "unet"])
def test_every_loss_trains_every_generator(gan_type, generator):
    unet = dict(type="mmgen_ext.UnetGenerator", base_channels=2, num_down=5, norm="instance")
    model = build(
        generator=unet if generator == "unet" else GENERATOR,
        discriminator=dict(DISCRIMINATOR, spectral_norm=gan_type == "hinge"),
        gan_loss=dict(type="mmgen_ext.GANLoss", gan_type=gan_type),
    )
    before = copy.deepcopy(model.state_dict())
    logged = model.train_step(batch(2, 64), optimizers(model))["log_vars"]
    assert all(torch.isfinite(v) for v in logged.values())
    changed = [n for n, v in model.named_parameters() if not torch.equal(v, before[n])]
    assert any(n.startswith("generators.monet") for n in changed)
    assert any(n.startswith("discriminators.photo") for n in changed)


def test_domains_may_have_different_channels_and_identity_is_off_then():
    model = build(channels=dict(monet=1, photo=5))
    logged = model.train_step(batch(channels=(1, 5)), optimizers(model))["log_vars"]
    assert "id_loss" not in logged
    assert model.generators["photo"](torch.zeros(1, 1, 16, 16)).shape == (1, 5, 16, 16)


def test_inference_needs_no_discriminator_and_says_that_training_does():
    model = build(discriminator=None)
    result = model(batch()["img_photo"], test_mode=True, target_domain="monet")
    assert result["target"].shape == (1, 3, 32, 32)
    assert not model.training
    with pytest.raises(ValueError, match="discriminator=None: it cannot train"):
        model.train_step(batch(), optimizers(build()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(domains=["a"]), "expected two different names"),
        (dict(domains=["a", "a"]), "expected two different names"),
        (dict(domains="ab"), "expected two different names"),
        (dict(default_domain="manet"), "'manet' is none of the domains"),
        (dict(channels=dict(monet=3)), "must name the domains"),
        (dict(domains=["a.1", "b"]), "'a.1' cannot name a domain"),
        (dict(domains=["keys", "b"]), "'keys' cannot name a domain"),
        (dict(pool_size=-1), "pool_size=-1 is negative"),
        (dict(cycle_beta=-1), "cycle_beta=-1 is negative; expected 0 or more"),
        (dict(cycle_scale=0), "cycle_scale=0; expected 1, as it is, or more"),
        (dict(cycle_ssim=1.5), "cycle_ssim=1.5; expected a share from 0 to 1"),
        (dict(source_negatives=-1), "source_negatives=-1 is negative"),
        (
            dict(source_negatives=1.0, channels=dict(monet=3, photo=1)),
            "source_negatives=1.0 shows the discriminators",
        ),
    ],
)
def test_wrong_options_are_answered_with_a_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


@pytest.mark.parametrize("gan_type", ["lsgan", "hinge"])
def test_discriminators_learn_that_untranslated_pictures_are_not_theirs(gan_type):
    options = dict(pool_size=0, gan_loss=dict(type="mmgen_ext.GANLoss", gan_type=gan_type))
    model = build(source_negatives=0.5, **options)
    real = {d: batch()[f"img_{d}"] for d in ("monet", "photo")}
    fake = {d: -x for d, x in real.items()}
    found = model.discriminator_losses(real, fake, model.pools)
    for d, other in (("monet", "photo"), ("photo", "monet")):
        on = {name: model.discriminators[d](x) for name, x in
              dict(real=real[d], fake=fake[d], source=real[other]).items()}  # fmt: skip
        if gan_type == "hinge":
            terms = [(1 - on["real"]).relu(), (1 + on["fake"]).relu(), (1 + on["source"]).relu()]
        else:
            terms = [(1 - on["real"]) ** 2, on["fake"] ** 2, on["source"] ** 2]
        expected = sum(w * t.mean() for w, t in zip((0.5, 0.5, 0.25), terms, strict=True))
        assert torch.allclose(found[f"loss_gan_d_{d}"], expected, rtol=1e-5)


def test_unknown_target_is_answered_with_the_domains():
    with pytest.raises(ValueError, match="unknown domain 'manet'; there are monet, photo"):
        build()(batch()["img_photo"], target_domain="manet")


def test_networks_of_mmgens_work_inside_under_their_own_names():
    theirs = dict(in_channels=3, base_channels=4, norm_cfg=dict(type="IN"))
    model = build(
        generator=dict(type="ResnetGenerator", out_channels=3, num_blocks=1, **theirs),
        discriminator=dict(type="PatchDiscriminator", num_conv=2, **theirs),
    )
    assert type(model.generators["photo"]).__module__.startswith("mmgen.")
    weight = model.generators["photo"].model[0].conv.weight
    assert weight.std().item() == pytest.approx(0.02, rel=0.2)  # the paper's initialisation
    assert torch.isfinite(model.train_step(batch(), optimizers(model))["log_vars"]["loss"])


def parts(model, data):
    """Gradients of the generators' and of the discriminators' losses, and the losses."""
    real = {d: data[f"img_{d}"] for d in ("monet", "photo")}
    model.zero_grad()
    losses, fake = model._generator_pass(real)
    losses |= model.discriminator_losses(real, fake, model.pools)
    sum(losses.values()).backward()
    return losses, {name: p.grad.clone() for name, p in model.named_parameters()}


SWITCHES = dict(
    generator=dict(GENERATOR, upsample="subpixel", global_skip=True),
    discriminator=dict(DISCRIMINATOR, type="mmgen_ext.MultiscaleDiscriminator"),
    gan_loss=dict(type="mmgen_ext.GANLoss", r1_weight=1.0),
    cycle_beta=0.3,
    cycle_scale=2,
    cycle_ssim=0.5,
    cycle_features=0.5,
)


@pytest.mark.parametrize(
    ("size", "options"),
    [((1, 32), {}), ((2, 32), {}), ((1, (40, 24)), {}), ((1, 32), SWITCHES)],
    ids=["one", "two", "oblong", "switches"],
)
def test_merged_and_fused_step_equals_the_plain_one(size, options, monkeypatch):
    model = build(pool_size=0, **options)
    make_fast(model, Config(dict(model=dict(type="mmgen_ext.CycleGAN"))), torch.device("cpu"))
    n, side = size
    h, w = side if isinstance(side, tuple) else (side, side)
    data = {key: value[..., :h, :w] for key, value in batch(n, max(h, w)).items()}
    losses, gradients = parts(model, data)
    with monkeypatch.context() as patch:
        patch.setattr("mmgen_ext.models.layers.is_per_image", lambda network: False)
        with plain_layers():
            expected, plain = parts(model, data)
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(expected[name].item(), rel=1e-5)
    # Through norms of the discriminators gradients are twenty times as large, and their rounding.
    close = 1e-5 * (max(g.abs().max().item() for g in plain.values()) if options else 1)
    for name, gradient in gradients.items():
        assert torch.allclose(gradient, plain[name], atol=close, rtol=1e-5), name


@pytest.mark.parametrize("identity", [0.0, 5.0])
def test_networks_that_look_alike_look_together_and_see_what_they_see_alone(identity, monkeypatch):
    judges = dict(type="mmgen_ext.ProjectedDiscriminator", base_channels=4, enlarge=2)
    model = build(
        generator=dict(GENERATOR, semantics=2, last_activation="softsign"),
        discriminator=judges,
        source_negatives=1.0,
        identity_weight=identity,
        pool_size=0,
    ).double()  # In float32 the frozen network's rounding differs with the CPU.
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    data = {key: value.double() for key, value in batch().items()}
    alone, looks = copy.deepcopy(model), []
    for sight in (network.sight for part in (model.generators, model.discriminators)
                  for network in part.values()):  # fmt: skip
        sight.network.register_forward_hook(lambda _, inputs, __: looks.append(len(inputs[0])))
    losses, gradients = parts(model, data)
    # Generators: there, back; what judges tell them; what judges learn.
    assert looks == [4 if identity else 2, 2, 2, 6]
    for networks in (model.generators, model.discriminators):
        monkeypatch.setattr(type(networks["monet"]), "sight", None)
    expected, plain = parts(alone, data)
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(expected[name].item(), rel=1e-9)
    close = 1e-9 * max(g.abs().max().item() for g in plain.values())
    for name, gradient in gradients.items():
        assert torch.allclose(gradient, plain[name], atol=close, rtol=1e-9), name


@pytest.mark.parametrize("told", [True, False])
def test_r1_follows_the_runs_iteration_or_else_counts_steps(told):
    model, seen = build(gan_loss=dict(type="mmgen_ext.GANLoss", r1_weight=1.0, r1_interval=3)), []
    network = model.discriminators["photo"]
    network.register_forward_hook(lambda *args: seen.append(1))
    counts = []
    for i in range(5):
        status = dict(running_status=dict(iteration=i + 1)) if told else {}
        model.train_step(batch(), optimizers(model), **status)
        counts.append(len(seen))
        seen.clear()
    assert counts == ([2, 2, 3, 2, 2] if told else [3, 2, 2, 3, 2])


def test_discriminators_see_only_augmented_pictures_in_every_pass():
    model, seen = build(discriminator_augment="color,cutout"), []
    for network in model.discriminators.values():
        network.register_forward_pre_hook(lambda network, inputs: seen.extend(inputs[0]))
    model.train_step(batch(), optimizers(model))
    assert len(seen) == 6  # two generators' fakes, and a real and a fake for each discriminator
    assert all((picture == 0).all(0).sum() >= 8 * 8 for picture in seen)
    assert all((picture == 0).all(0).sum() == 0 for picture in model.pools["photo"].images)


def test_generators_see_two_images_at_once_only_where_the_result_is_the_same():
    def seen(**options):
        model, sizes = build(**options), []
        for network in model.generators.values():
            network.register_forward_hook(lambda *args: sizes.append(len(args[2])))
        model.train_step(batch(), optimizers(model))
        return sorted(sizes)

    assert seen() == [1, 1, 2, 2]
    assert seen(generator=dict(GENERATOR, norm="batch")) == [1] * 6
    assert seen(generator=dict(GENERATOR, use_dropout=True)) == [1] * 6


def test_bf16_step_is_near_float32s_and_leaves_weights_moments_and_pools_float32():
    adam = dict(type="Adam", lr=2e-4, betas=(0.5, 0.999))
    logged = {}
    for precision in ("fp32", "bf16"):
        torch.manual_seed(0)
        model = build()
        model.precision = precision
        optimizer = optimizers(model, adam)
        for _ in range(3):
            logged[precision] = model.train_step(batch(), optimizer)["log_vars"]
    for name, value in logged["bf16"].items():
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(logged["fp32"][name].item(), rel=0.05, abs=0.02)
        assert value.item() != logged["fp32"][name].item()
    remembered = [s for o in optimizer.values() for s in o.state.values()]
    kinds = {value.dtype for state in remembered for value in state.values()}
    kinds |= {image.dtype for pool in model.pools.values() for image in pool.images}
    assert kinds | {p.dtype for p in model.parameters()} == {torch.float32}


def test_networks_of_mmgens_work_inside_in_bf16():
    theirs = dict(in_channels=3, base_channels=4, norm_cfg=dict(type="IN"))
    model = build(
        generator=dict(type="ResnetGenerator", out_channels=3, num_blocks=1, **theirs),
        discriminator=dict(type="PatchDiscriminator", num_conv=2, **theirs),
    )
    model.precision = "bf16"
    result = model.train_step(batch(), optimizers(model))
    assert torch.isfinite(result["log_vars"]["loss"])
    assert result["results"]["fake_monet"].dtype == torch.float32


def test_loss_scale_halves_after_an_overflow_and_leaves_the_size_of_gradients():
    torch.manual_seed(0)
    plain, scaled = build(), None
    scaled = copy.deepcopy(plain)
    scaled.loss_scale = LossScale(1024.0)
    for model in (plain, scaled):
        model.train_step(batch(), optimizers(model), step=lambda *_: True)
    for a, b in zip(plain.parameters(), scaled.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, atol=1e-6, rtol=1e-4)
    result = scaled.train_step(batch(), optimizers(scaled), step=lambda *_: False)
    assert result["rescaled"] and not result["applied"]
    assert scaled.loss_scale.scale == 512.0
    scaled.loss_scale.scale = 1.0
    assert not scaled.train_step(batch(), optimizers(scaled), step=lambda *_: False)["rescaled"]


def test_loss_scale_grows_after_many_good_steps_and_is_continued():
    scale = LossScale(8.0, interval=3)
    for _ in range(4):
        assert not scale.update(applied=True)
    other = LossScale()
    other.load_state_dict(scale.state_dict())
    assert (other.scale, other.steps) == (16.0, 4)
