"""Distillation: a real tiny teacher, a real tiny student; the student translates alone."""

import shutil

import numpy as np
import pytest
import torch
from mmgen.core import build_optimizers
from mmgen.models import build_model
from processes import run_ranks
from test_train import same_state

from mmgen_ext.checkpoint import read_checkpoint
from mmgen_ext.inference.translator import Translator
from mmgen_ext.models.distill import filters

CONFIG = """
_base_ = {base!r}
model = dict(
    _delete_=True,
    type="mmgen_ext.Distiller",
    generator=dict(type="mmgen_ext.MobileResnetGenerator", base_channels=2, num_blocks=1),
    discriminator=dict(type="mmgen_ext.PatchDiscriminator", base_channels=4, num_conv=2),
    domains=["a", "b"],
    teacher=dict(checkpoint={teacher!r}, to="b"),
    gan_loss=dict(type="mmgen_ext.GANLoss"),
    pool_size=3,
)
optimizer = dict(adapters=dict(type="Adam", lr=2e-4, betas=(0.5, 0.999), fused=True))
ema = dict(decay=0.9)
"""
# What a student's files hold for ever, one of each kind of layer.
NAMES = {
    "generators.b.model.0.conv.weight": (2, 3, 7, 7),
    "generators.b.model.3.block.0.conv.weight": (8, 1, 3, 3),
    "generators.b.model.3.block.1.conv.weight": (8, 8, 1, 1),
    "generators.b.model.3.block.2.conv.bias": (8,),
    "generators.b.model.4.conv.weight": (8, 4, 3, 3),
    "adapters.2.weight": (16, 8, 1, 1),
    "discriminators.b.model.0.conv.weight": (4, 3, 4, 4),
}


@pytest.fixture
def teacher(trained, tmp_path):
    """A trained generator in a file of its own."""
    return shutil.copy(trained / "latest.pth", tmp_path / "teacher é.pth")


@pytest.fixture
def config(tmp_path, tiny_config, teacher):
    path = tmp_path / "distill.py"
    path.write_text(CONFIG.format(base=str(tiny_config), teacher=str(teacher)), "utf-8")
    return path


@pytest.fixture
def run(tool, config, tmp_path):
    """Train in a folder of the test: run('name', 'key=value', ..., resume=...)."""

    def train(folder, *options, resume=()):
        words = ["train", config, "--work-dir", tmp_path / folder, *resume]
        return tool(*words, *(["--cfg-options", *options] if options else []))

    return train


def picture(photos):
    return np.ascontiguousarray(photos["coffee"][:48, :60, ::-1])


def test_a_resumed_student_is_the_same_to_the_bit_and_translates_without_its_teacher(
    run, tool, tmp_path, photos, teacher
):
    options = ["precision=bf16", "lr_config.decay_from=1"]
    assert run("whole", *options).code == 0
    assert run("halves", *options, "total_iters=4").code == 0
    again = run("halves", *options, resume=["--resume", "auto"])
    assert again.code == 0, again.err[-600:]
    a, b = (read_checkpoint(tmp_path / name / "iter_6.pth") for name in ("whole", "halves"))
    assert same_state(a["state_dict"], b["state_dict"])
    assert same_state(a["optimizer"], b["optimizer"])
    assert {k: tuple(a["state_dict"][k].shape) for k in NAMES} == NAMES
    assert not [key for key in a["state_dict"] if "teacher" in key or ".a." in key]
    assert (tmp_path / "whole" / "training_samples" / "iter_6.png").is_file()
    teacher.unlink()
    student = Translator(None, tmp_path / "whole" / "latest.pth", device="cpu")
    assert (student.domains, student.weights) == (["b"], "ema")
    assert student(picture(photos)).shape == (48, 60, 3)
    made = tool("export", "auto", tmp_path / "whole" / "latest.pth", tmp_path / "light.onnx")
    assert made.code == 0, made.err


@pytest.mark.parametrize(
    ("option", "judges"),
    [("model.gan_loss.loss_weight=0", set()), ("model.judge_against=teacher", {"discriminators"})],
)
def test_where_nothing_needs_the_target_the_source_alone_is_read(
    run, tmp_path, data_root, option, judges
):
    shutil.copytree(data_root / "trainA", tmp_path / "alone" / "trainA")
    options = [f"data_root={tmp_path / 'alone'}", "data.train.only=a", "total_iters=2"]
    result = run("alone_run", option, *options)
    assert result.code == 0, result.err[-600:]
    content = read_checkpoint(tmp_path / "alone_run" / "latest.pth")
    assert set(content["optimizer"]) == {"generators", "adapters"} | judges
    parts = {key.split(".")[0] for key in content["state_dict"]}
    assert parts & {"discriminators"} == judges


def test_what_the_discriminator_holds_for_real(teacher):
    judge = dict(type="mmgen_ext.PatchDiscriminator", base_channels=4, num_conv=2)
    common = dict(teacher=dict(checkpoint=str(teacher)), discriminator=judge)
    names = ("generators", "adapters", "discriminators")
    a, b = (torch.rand(1, 3, 32, 32) * 2 - 1 for _ in range(2))
    for against, expected in (("real", lambda _: b), ("teacher", lambda net: net(a))):
        student = model(judge_against=against, **common)
        optimizers = build_optimizers(student, {n: dict(type="Adam", lr=0.0) for n in names})
        seen = student.train_step(dict(img_a=a, img_b=b), optimizers)
        real = expected(student._teacher[0]).detach()
        fake = student.generators["b"](a).detach()
        with torch.no_grad():
            loss = student.gan_loss.discriminator_loss(student.discriminators["b"], real, fake, 0)
        assert torch.allclose(seen["log_vars"]["loss_gan_d_b"], loss, atol=1e-6), against


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("model.judge_against=me", ["judge_against='me'", "real, teacher"]),
        ("model.teacher.checkpoint=nowhere/t.pth", ["no checkpoint nowhere/t.pth"]),
        ("model.teacher.to=c", ["unknown domain 'c'", "this model makes a, b"]),
        ("optimizer.adapters=None", ["adapters"]),
        ("data.train.only=c", ["only='c'", "a, b"]),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(run, sentence, option, words):
    sentence(run("refused", option), *words)


def model(**options):
    config = dict(
        type="mmgen_ext.Distiller",
        generator=dict(type="mmgen_ext.MobileResnetGenerator", base_channels=4, num_blocks=1),
        discriminator=None,
        domains=["a", "b"],
    )
    return build_model({**config, **options})


def test_the_student_comes_near_to_its_teacher_which_stays_as_it_is(teacher):
    student = model(teacher=dict(checkpoint=str(teacher)))
    (frozen,) = student._teacher
    before = {key: value.clone() for key, value in frozen.state_dict().items()}
    parts = ("generators", "adapters")
    optimizers = build_optimizers(student, {name: dict(type="Adam", lr=5e-3) for name in parts})
    batch = dict(img_a=torch.rand(1, 3, 32, 32) * 2 - 1)
    losses = [student.train_step(batch, optimizers)["log_vars"] for _ in range(40)]
    for name in ("distill_loss", "feature_loss"):
        assert losses[-1][name] < 0.7 * losses[0][name]
    assert same_state(before, dict(frozen.state_dict())) and not frozen.training
    # With no one to judge, the teacher's pictures do not pass for real ones.
    assert set(student.train_step(batch, optimizers)["results"]) == {"real_a", "fake_b"}


def test_a_student_begins_with_filters_of_its_teacher(teacher):
    student = model(teacher=dict(checkpoint=str(teacher)))  # as wide: all of them
    own, theirs = (student.generators["b"].model, student._teacher[0].model)
    for number in (0, 2, -3, -1):
        assert torch.equal(filters(own[number].conv), filters(theirs[number].conv)), number
    skipping = dict(type="mmgen_ext.ResnetGenerator", base_channels=4, num_blocks=1)
    student = model(
        teacher=dict(checkpoint=str(teacher)), generator=dict(skipping, global_skip=True)
    ).generators["b"]
    assert torch.equal(filters(student.model[-2].conv), filters(theirs[-2].conv))
    picture = torch.rand(1, 3, 16, 16)
    assert torch.equal(student(picture), picture)  # whose change is none of the teacher's pictures
    narrow = dict(type="mmgen_ext.MobileResnetGenerator", base_channels=2, num_blocks=1)
    student = model(teacher=dict(checkpoint=str(teacher)), generator=narrow)
    first = filters(student.generators["b"].model[0].conv)
    norms = filters(theirs[0].conv).flatten(1).norm(dim=1)
    assert torch.equal(first.flatten(1).norm(dim=1).sort().values, norms.sort().values[-2:])


def test_a_teacher_of_another_architecture_has_no_features(teacher):
    unet = dict(type="mmgen_ext.UnetGenerator", base_channels=2, num_down=5)
    with pytest.raises(ValueError, match="Set model"):
        model(teacher=dict(checkpoint=str(teacher)), generator=unet)
    student = model(teacher=dict(checkpoint=str(teacher)), generator=unet, feature_weight=0)
    assert not student.adapters


def test_two_ranks_stay_equal(config, tmp_path):
    options = ["total_iters=2", "checkpoint_config.interval=1", "custom_hooks=[]"]
    run_ranks(2, config, "--work-dir", tmp_path / "ranks", "--cfg-options", *options,
              output=tmp_path / "out")  # fmt: skip
    assert read_checkpoint(tmp_path / "ranks" / "latest.pth")["meta"]["iter"] == 2
