"""The cache of decoded pictures: the same samples, made once, anew where something changed."""

import pickle
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from mmgen_ext.datasets import UnpairedImageDataset
from mmgen_ext.datasets.images import cache_dir

PIPELINE = [
    dict(type="mmgen_ext.LoadImage"),
    dict(type="mmgen_ext.Resize", size=40),
    dict(type="mmgen_ext.RandomCrop", size=32),
    dict(type="mmgen_ext.RandomFlip"),
    dict(type="mmgen_ext.ToTensor"),
]


@pytest.fixture
def root(data_root, tmp_path, monkeypatch):
    """A copy to spoil, and a cache of its own."""
    monkeypatch.setenv("MMGEN_EXT_CACHE", str(tmp_path / "cache"))
    return shutil.copytree(data_root, tmp_path / "set")


def build(root, pipeline=PIPELINE, **options):
    return UnpairedImageDataset(root, ["a", "b"], pipeline, cache=True, **options)


def files():
    return sorted(cache_dir().glob("pixels-*.npy"))


def test_samples_are_the_same_to_the_bit(root):
    plain = UnpairedImageDataset(root, ["a", "b"], PIPELINE)
    cached = build(root)
    for n in (0, 1, 7, 20):
        assert torch.equal(cached[n]["img_a"], plain[n]["img_a"])
        assert torch.equal(cached[n]["img_b"], plain[n]["img_b"])
        assert cached[n]["img_a_path"] == plain[n]["img_a_path"]


def test_it_is_made_once_and_the_pictures_are_not_decoded_again(root, monkeypatch):
    build(root)
    made = {path: path.stat().st_mtime_ns for path in files()}
    assert len(made) == 2
    monkeypatch.setattr("mmgen_ext.datasets.transforms.read_image", None)
    build(root)[3]
    assert {path: path.stat().st_mtime_ns for path in files()} == made


def test_another_content_or_size_makes_another_file(root):
    build(root)
    picture = next((root / "trainA").rglob("*.png"))
    Image.fromarray(np.full((48, 48, 3), 200, np.uint8)).save(picture)
    changed = build(root)
    assert len(files()) == 3
    number = next(n for n in range(6) if changed[n]["img_a_path"] == str(picture))
    assert changed[number]["img_a"].unique().numel() == 1
    build(root, [PIPELINE[0], dict(type="mmgen_ext.Resize", size=36), *PIPELINE[2:]])
    assert len(files()) == 5


def test_it_goes_to_other_processes_without_its_pixels(root):
    dataset = build(root)
    dataset[0]
    text = pickle.dumps(dataset)
    assert len(text) < 20_000  # a picture has 4,800 bytes, and there are ten
    assert torch.equal(pickle.loads(text)[5]["img_a"], dataset[5]["img_a"])


@pytest.mark.parametrize(
    "pipeline",
    [
        [PIPELINE[0], PIPELINE[2], PIPELINE[4]],
        [PIPELINE[0], dict(type="mmgen_ext.Resize", size=40, keep_ratio=True), *PIPELINE[2:]],
    ],
)
def test_pictures_of_many_sizes_are_answered(root, pipeline):
    with pytest.raises(ValueError, match="cache=True needs a pipeline that begins with"):
        build(root, pipeline)


def test_a_full_disk_is_answered_before_anything_is_written(root, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: shutil._ntuple_diskusage(9, 9, 0))
    with pytest.raises(ValueError, match=r"cache=True needs 0.0 GiB in .* MMGEN_EXT_CACHE"):
        build(root)
    assert files() == []
