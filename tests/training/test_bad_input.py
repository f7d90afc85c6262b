"""Mistakes get one sentence, no traceback, and a non-zero exit."""

import os
import shutil

import pytest


def test_missing_config_names_the_nearest(tool, tiny_config, sentence):
    sentence(tool("train", tiny_config.with_name("tinny.py")), "no config file", "tiny.py?")


def test_missing_data_root(tool, tiny_config, sentence, tmp_path):
    result = tool(
        "train", tiny_config, "--work-dir", tmp_path / "w", "--cfg-options", "data_root=data/none"
    )
    sentence(result, "data_root data/none", "trainA and trainB", "does not exist")


def test_empty_train_b(tool, tiny_config, sentence, tmp_path, data_root):
    root = shutil.copytree(data_root, tmp_path / "set")
    shutil.rmtree(root / "trainB")
    (root / "trainB").mkdir()
    result = tool(
        "train", tiny_config, "--work-dir", tmp_path / "w", "--cfg-options", f"data_root={root}"
    )
    sentence(result, "no images in", "trainB", ".jpg")


def test_text_file_named_jpg(tool, tiny_config, sentence, tmp_path, data_root):
    root = shutil.copytree(data_root, tmp_path / "set")
    (root / "trainA" / "letter.jpg").write_text("Dear diary")
    result = tool(
        "train", tiny_config, "--work-dir", tmp_path / "w", "--cfg-options", f"data_root={root}"
    )
    sentence(result, "letter.jpg: not an image")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("model.type=mmgen_ext.CycleGAM", ["model: type", "did you mean 'mmgen_ext.CycleGAN'?"]),
        (
            "model.generator.type=mmgen_ext.ResnetGenerater",
            ["model.generator: type", "did you mean 'mmgen_ext.ResnetGenerator'?"],
        ),
        (
            "data.train.type=mmgen_xt.UnpairedImageDataset",
            ["data.train: type", "did you mean 'mmgen_ext.UnpairedImageDataset'?"],
        ),
        ("data.train.pipeline.1.type=mmgen_ext.Rezise", ["pipeline[1]", "'mmgen_ext.Resize'?"]),
        ("custom_hooks.0.type=GaleryHook", ["custom_hooks[0]", "did you mean 'GalleryHook'?"]),
        ("model.generator.use_dropout=maybe", ["generator: use_dropout is 'maybe'"]),
        ("data.train.cache=off", ["data.train: cache is 'off'; expected True or False"]),
        ("optimizer.generators.type=Adamm", ["optimizer.generators", "did you mean 'Adam'?"]),
        ("lr_config.policy=ConstantThenLiner", ["lr_config: policy", "'ConstantThenLinear'?"]),
        ("lr_config.decay_form=0.5", ["cannot build the hooks", "decay_form"]),
        ("log_config.hooks.0.type=TextLogerHook", ["log_config.hooks[0]", "'TextLoggerHook'?"]),
        ("optimizer.generators.speed=1", ["cannot build the optimizers", "speed"]),
        ("optimizer=Adam", ["optimizer is 'Adam'; expected a dict"]),
        ("model.generator.num_block=3", ["cannot build the model", "num_block"]),
        ("total_iters=0", ["total_iters=0", "at least 1"]),
        ("total_iters=-5", ["total_iters=-5"]),
        ("total_iters=many", ["total_iters='many'"]),
        ("data.samples_per_gpu=0", ["samples_per_gpu=0"]),
        ("lr_config.decay_from=2", ["decay_from=2"]),
    ],
)
def test_wrong_option(tool, tiny_config, sentence, tmp_path, option, words):
    result = tool("train", tiny_config, "--work-dir", tmp_path / "w", "--cfg-options", option)
    sentence(result, *words)


def test_list_with_spaces_that_the_shell_took_apart(tool, tiny_config, tmp_path):
    result = tool("train", tiny_config, "--cfg-options", "domains=[a,", "b]")
    assert result.code == 2
    assert "got 'b]'; expected KEY=VALUE, a list without spaces or in quotes" in result.err


def test_config_that_is_not_python(tool, sentence, tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("model = dict(")
    sentence(tool("train", path), "cannot read config", "broken.py")


def test_config_that_imports_what_is_not_there(tool, sentence, tmp_path):
    path = tmp_path / "imports.py"
    path.write_text("import not_there_at_all")
    sentence(tool("train", path), "cannot read config", "not_there_at_all")


def test_mistake_that_a_loader_worker_meets(tool, tiny_config, sentence, tmp_path):
    # Crops larger than the pictures: nothing but the sample itself shows it.
    options = ["data.train.pipeline.1.size=20", "data.workers_per_gpu=1"]
    result = tool("train", tiny_config, "--work-dir", tmp_path / "w", "--cfg-options", *options)
    sentence(result, "20 x 20 pixels here, smaller than the crop of 32")
    assert "Original" not in result.err


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps folders writable")
def test_work_dir_that_cannot_be_written(tool, tiny_config, sentence, tmp_path):
    (tmp_path / "file").write_text("")
    result = tool("train", tiny_config, "--work-dir", tmp_path / "file" / "run")
    sentence(result, "work_dir", "cannot be written", "--work-dir")


def test_resume_from_nothing_and_from_no_checkpoint(tool, tiny_config, sentence, tmp_path):
    run = ["train", tiny_config, "--work-dir", tmp_path / "w", "--resume"]
    sentence(tool(*run, tmp_path / "none.pth"), "no checkpoint", "none.pth")
    (tmp_path / "text.pth").write_text("hello")
    sentence(tool(*run, tmp_path / "text.pth"), "no checkpoint, or is damaged")


def test_unknown_device(tool, tiny_config, sentence, tmp_path):
    result = tool("train", tiny_config, "--work-dir", tmp_path / "w", "--device", "tpu")
    sentence(result, "device 'tpu' is not available", "--device auto")


def test_resume_from_another_architecture_says_what_differs(
    tool, trained, tiny_config, sentence, tmp_path
):
    run = ["train", tiny_config, "--work-dir", tmp_path / "w"]
    other = ["--cfg-options", "model.generator.num_blocks=2"]
    result = tool(*run, "--resume", trained / "latest.pth", *other)
    sentence(result, "does not fit the config", "missing in the checkpoint")
    result = tool(*run, *other, f"load_from={trained / 'latest.pth'}")
    sentence(result, "does not fit the config", "missing in the checkpoint")


def test_resume_from_weights_alone_says_what_to_do(tool, trained, tiny_config, sentence, tmp_path):
    import torch

    from mmgen_ext.checkpoint import read_checkpoint

    bare = tmp_path / "bare.pth"
    torch.save(read_checkpoint(trained / "latest.pth")["state_dict"], bare)
    run = ["train", tiny_config, "--work-dir", tmp_path / "w"]
    sentence(tool(*run, "--resume", bare), "cannot be resumed", f"load_from={bare}")
    assert tool(*run, "--cfg-options", f"load_from={bare}", "total_iters=1").code == 0
