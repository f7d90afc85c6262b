"""Every shipped config: a few lines, builds, makes a step, survives a dump."""

import ast
from pathlib import Path

import pytest
import torch
from mmcv import Config
from mmgen.core import build_optimizers
from mmgen.models import build_model

from mmgen_ext.config import config_text, load_config, plain_data
from mmgen_ext.datasets.transforms import RandomCrop
from mmgen_ext.training.build import build_train_optimizers

ROOT = Path(__file__).resolve().parents[1]
LEAVES = sorted(ROOT.glob("configs/c*/*.py"))  # not _base_
STUDENTS = sorted((ROOT / "configs" / "distill").glob("*.py"))
EXPECTED = [
    "monet2photo",
    "vangogh2photo",
    "cezanne2photo",
    "ukiyoe2photo",
    "horse2zebra",
    "summer2winter_yosemite",
    "apple2orange",
    "facades",
    "iphone2dslr_flower",
    "maps",
    "cityscapes",
]


def test_every_known_data_set_has_a_config_that_ends_in_its_name():
    for name in EXPECTED:
        assert list((ROOT / "configs" / "cyclegan").glob(f"cyclegan_lsgan_resnet_in_*_{name}.py"))


@pytest.mark.parametrize("path", [*LEAVES, *STUDENTS], ids=lambda p: p.stem)
def test_leaf_is_short_and_opens_with_its_intent(path):
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= 22
    assert ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("path", LEAVES, ids=lambda p: p.stem)
def test_config_builds_and_makes_one_step(path, tmp_path):
    cfg = load_config(path)
    # The architecture as it is, at a fraction of its width: eleven of them must fit in CI.
    model = build_model(
        {
            **cfg.model,
            "generator": {**cfg.model.generator, "base_channels": 4},
            "discriminator": {**cfg.model.discriminator, "base_channels": 4},
        }
    )
    optimizer = build_optimizers(model, cfg.optimizer)
    crops = [step.size for step in cfg.data.train.pipeline if step.type.endswith("RandomCrop")]
    size = crops[0] // 4
    batch = {f"img_{d}": torch.rand(1, 3, size, size) * 2 - 1 for d in cfg.domains}
    logged = model.train_step(batch, optimizer)["log_vars"]
    assert torch.isfinite(logged["loss"])
    if cfg.model.type == "mmgen_ext.CUT":
        assert ("nce_id_loss" in logged) == ("fastcut" not in path.stem)
    else:
        # Where the change alone is made, as in the default recipe, there is none either.
        skips = cfg.model.generator.get("global_skip", False)
        assert ("id_loss" in logged) == ("id0" not in path.stem and not skips)
        assert not skips or "paper" not in path.stem
    assert RandomCrop(crops[0])
    assert cfg.data.train.domains == cfg.domains == cfg.model.domains
    assert Path(cfg.data.train.data_root).parts[0] == "data"
    # Plain data: dumped and read again it is the same.
    (tmp_path / "dump.py").write_text(config_text(cfg), "utf-8")
    assert plain_data(Config.fromfile(str(tmp_path / "dump.py"))) == plain_data(cfg)


@pytest.mark.parametrize("path", STUDENTS, ids=lambda p: p.stem)
def test_student_builds_and_makes_one_step(path, trained):
    cfg = load_config(path)
    assert cfg.model.teacher.to == cfg.model.default_domain
    # A teacher that is here, and a fraction of the width.
    teacher = dict(checkpoint=str(trained / "latest.pth"), to="b")
    generator = {**cfg.model.generator, "base_channels": 2}
    discriminator = cfg.model.discriminator and {**cfg.model.discriminator, "base_channels": 4}
    parts = dict(generator=generator, teacher=teacher, discriminator=discriminator)
    model = build_model({**cfg.model, **parts})
    optimizers = build_train_optimizers(model, cfg)
    assert set(optimizers) == {k for k in cfg.optimizer if discriminator or k != "discriminators"}
    batch = {f"img_{d}": torch.rand(1, 3, 32, 32) * 2 - 1 for d in model.real_domains}
    assert torch.isfinite(model.train_step(batch, optimizers)["log_vars"]["loss"])
    only = [cfg.data.train.get("only")] if "only" in cfg.data.train else cfg.domains
    assert set(model.real_domains) == set(only)


def test_changing_the_number_of_iterations_changes_nothing_else():
    path = LEAVES[0]
    short, long = (plain_data(load_config(path, dict(total_iters=n))) for n in (10, 1000))
    assert {k for k in short if short[k] != long[k]} == {"total_iters"}


def test_data_root_on_the_command_line_reaches_the_data_sets():
    cfg = load_config(LEAVES[0], dict(data_root="elsewhere"))
    assert cfg.data.train.data_root == cfg.data.test.data_root == "elsewhere"


def test_the_same_overrides_can_be_merged_again():
    overrides = {"model.discriminator": dict(_delete_=True, type="mmgen_ext.PixelDiscriminator")}
    first, second = (load_config(LEAVES[0], overrides).model.discriminator for _ in range(2))
    assert first == second == dict(type="mmgen_ext.PixelDiscriminator")
