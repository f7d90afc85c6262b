"""The MMGeneration tutorial's way: configs of mmgen's own, unchanged, through our tools."""

import shutil
from importlib.metadata import distribution
from pathlib import Path

import pytest
from PIL import Image

CONFIGS = Path(distribution("mmgen").locate_file("mmgen/.mim/configs"))
FACADES = CONFIGS / "cyclegan" / "cyclegan_lsgan_resnet_in_facades_b1x1_80k.py"
SMALL = [
    "total_iters=2",
    "model.generator.base_channels=4",
    "model.discriminator.base_channels=4",
    "log_config.interval=1",
    "data.workers_per_gpu=0",
    "checkpoint_config.interval=2",
]
SMALL_CYCLEGAN = [*SMALL, "model.generator.num_blocks=1"]


@pytest.fixture
def tutorial(tmp_path, data_root):
    """mmgen's facades config with names and root changed, as the tutorial says, anywhere at all."""
    text = FACADES.read_text("utf-8")
    for old, new in {
        "domain_a = 'mask'": "domain_a = 'monet'",
        "'./data/unpaired_facades'": repr(f"{data_root.as_posix()}/unpaired/"),
        "interval=5000)": "interval=2)",
    }.items():
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "cyclegan_monet.py"
    path.write_text(text + "\ndata['val_samples_per_gpu'] = 1\ndata['val_workers_per_gpu'] = 1\n")
    return path


@pytest.fixture
def offline(monkeypatch):
    """No network for mmgen's FID, as on a machine behind a firewall."""

    def refuse(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)


def test_tutorial_config_trains_and_translates(tool, tutorial, tmp_path, data_root, offline):
    work_dir = tmp_path / "run"
    result = tool(
        "train", tutorial, "--work-dir", work_dir, "--cfg-options", *SMALL_CYCLEGAN
    )  # fmt: skip
    assert result.code == 0, result.err[-600:]
    log = next(work_dir.glob("*.log")).read_text("utf-8")
    for request in ("data.val_samples_per_gpu", "use_ddp_wrapper", "evaluation"):
        assert log.count(f"not done: {request}") == 1, request
    assert "learning rate stays constant" in log
    assert (work_dir / "training_samples" / "iter_2.png").exists()
    picture = next((data_root / "testB").rglob("*.png"))
    out = tmp_path / "out"
    config = work_dir / "cyclegan_monet.py"
    for source in (config, "auto"):
        run = ["translate", source, work_dir / "latest.pth", picture, "--to", "monet"]
        result = tool(*run, "--out", out / str(source == "auto"))
        assert result.code == 0, result.err[-600:]
    assert Image.open(next(out.rglob("*.png"))).size == (48, 48)


def test_resumed_tutorial_config_counts_on(tool, tutorial, tmp_path, offline):
    run = ["train", tutorial, "--work-dir", tmp_path / "run", "--no-validate"]
    assert tool(*run, "--cfg-options", *SMALL_CYCLEGAN).code == 0
    more = ["total_iters=3", *SMALL_CYCLEGAN[1:]]
    run[1] = tmp_path / "run" / "cyclegan_monet.py"  # the resolved config does as well
    result = tool(*run, "--resume-from", tmp_path / "run" / "iter_2.pth", "--cfg-options", *more)
    assert result.code == 0, result.err[-600:]
    assert (tmp_path / "run" / "iter_3.pth").exists()


def test_pix2pix_trains_and_translates(tool, tmp_path, photos):
    root = tmp_path / "paired"
    for folder in ("train", "val"):
        (root / folder).mkdir(parents=True)
        for i in range(2):
            Image.fromarray(photos["coffee"][:256, i : i + 512]).save(root / folder / f"{i}.jpg")
    config = tmp_path / "pix2pix.py"
    base = CONFIGS / "pix2pix" / "pix2pix_vanilla_unet_bn_facades_b1x1_80k.py"
    config.write_text(f"_base_ = {str(base)!r}\n")
    work_dir = tmp_path / "run"
    roots = [f"data.{split}.dataroot={root}" for split in ("train", "val", "test")]
    result = tool(
        "train", config, "--work-dir", work_dir, "--no-validate", "--cfg-options", *SMALL, *roots
    )
    assert result.code == 0, result.err[-600:]
    picture = tmp_path / "photo.png"
    Image.fromarray(photos["chelsea"][:90, :130]).save(picture)
    run = ["translate", work_dir / "pix2pix.py", work_dir / "latest.pth", picture]
    for name in ("a", "b"):
        result = tool(*run, "--out", tmp_path / f"{name}.png")
        assert result.code == 0, result.err[-600:]
    first, second = (Image.open(tmp_path / f"{name}.png") for name in ("a", "b"))
    assert first.size == (130, 90)
    assert first.tobytes() == second.tobytes()


def test_broken_and_missing_pictures_of_a_tutorial_config_are_named_at_the_start(
    tool, tutorial, tmp_path, data_root, sentence
):
    root = shutil.copytree(data_root, tmp_path / "set")
    run = ["train", tutorial, "--work-dir", tmp_path / "run", "--no-validate", "--cfg-options"]
    run += [*SMALL_CYCLEGAN, f"data.train.dataroot={root}"]
    (root / "trainB" / "letter.jpg").write_text("Dear diary")
    sentence(tool(*run), "1 broken image", "letter.jpg: not an image")
    shutil.rmtree(root / "trainB")
    (root / "trainB").mkdir()
    sentence(tool(*run), "no images in", "trainB")


@pytest.mark.slow
def test_mmgens_evaluation_hook_evaluates_and_keeps_its_best(
    tool, tutorial, tmp_path, data_root, monkeypatch
):
    """Its Inception network has random weights: the real ones cannot be had without a network."""
    from mmgen.models.architectures import fid_inception

    def random_weights(*args, **kwargs):
        return fid_inception.fid_inception_v3(load_ckpt=False).state_dict()

    monkeypatch.setattr(fid_inception, "load_url", random_weights)
    work_dir = tmp_path / "run"
    metrics = "[dict(type='FID', num_images=2)]"
    fid = f"evaluation.update(interval=2, best_metric=['fid'], metrics={metrics})"
    tutorial.write_text(tutorial.read_text("utf-8") + fid, "utf-8")
    result = tool("train", tutorial, "--work-dir", work_dir, "--cfg-options", *SMALL_CYCLEGAN)
    assert result.code == 0, result.err[-800:]
    log = next(work_dir.glob("*.log")).read_text("utf-8")
    assert "not done: evaluation" not in log and "fid" in log
    assert list(work_dir.glob("best_fid_iter_2.pth"))
