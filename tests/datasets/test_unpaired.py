"""Two folders that do not belong together."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from mmgen_ext.datasets import UnpairedImageDataset

PIPELINE = [dict(type="mmgen_ext.LoadImage"), dict(type="mmgen_ext.ToTensor")]


def build(root, **options):
    return UnpairedImageDataset(root, ["a", "b"], PIPELINE, **options)


@pytest.fixture
def root(data_root, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(data_root, tmp_path / "set")


def test_sample_holds_both_domains_as_tensors_and_paths(data_root):
    sample = build(data_root)[3]
    assert set(sample) == {"img_a", "img_a_path", "img_b", "img_b_path"}
    image = sample["img_a"]
    assert image.dtype == torch.float32 and image.shape == (3, 48, 48)
    pixels = np.asarray(Image.open(sample["img_a_path"]))[:, :, ::-1]
    assert torch.allclose(
        image.permute(1, 2, 0), torch.tensor(pixels / 127.5 - 1).float(), atol=1e-6
    )
    assert "trainB" in sample["img_b_path"]


def test_test_pictures_come_in_order(data_root):
    dataset = build(data_root, test_mode=True)
    names = [dataset[i]["img_a_path"] for i in range(len(dataset))]
    assert names == sorted(names) and len(names) == 2
    with pytest.raises(IndexError):
        dataset[2]


def test_all_broken_images_are_named_at_once(root):
    (root / "trainA" / "text.jpg").write_text("hello")
    (root / "trainB" / "void.png").touch()
    with pytest.raises(ValueError, match="2 broken images") as error:
        build(root)
    assert "text.jpg: not an image" in str(error.value)
    assert "void.png: the file is empty" in str(error.value)
    assert "on_error=skip" in str(error.value)


def test_broken_images_are_left_out_and_logged_if_asked(root, caplog):
    (root / "trainA" / "text.jpg").write_text("hello")
    with caplog.at_level("WARNING", "mmgen"):
        dataset = build(root, on_error="skip")
    assert len(dataset.paths["a"]) == 6
    assert "text.jpg" in caplog.text
    for path in dataset.paths["b"]:
        path.write_bytes(b"x")
    with pytest.raises(ValueError, match="no readable image is left in domain 'b'"):
        build(root, on_error="skip")


def test_pictures_in_training_and_in_testing_are_reported(root, caplog):
    shutil.copy(next((root / "trainB").glob("*.png")), root / "testB" / "again.png")
    with caplog.at_level("WARNING", "mmgen"):
        build(root)
    assert "also trained on: 1 test picture of" in caplog.text and "again.png" in caplog.text


def test_missing_root_and_folders_are_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected the folders trainA and trainB"):
        build(tmp_path / "none")
    (tmp_path / "trainA").mkdir()
    with pytest.raises(FileNotFoundError, match="it holds trainA"):
        build(tmp_path)
    (tmp_path / "trainB").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no images in .*trainA"):
        build(tmp_path)


def test_the_extra_folder_of_an_archive_is_found_both_ways(root):
    nested = root.parent / "monet2photo" / "monet2photo"
    nested.parent.mkdir()
    root.rename(nested)
    assert len(build(nested.parent)) == len(build(nested)) == 6
    flat = root.parent / "flat"
    nested.rename(flat)
    assert len(build(flat / "flat")) == 6


def test_domains_may_have_different_channels(root):
    dataset = build(root, channels=dict(a=1, b=3))
    assert dataset[0]["img_a"].shape[0] == 1 and dataset[0]["img_b"].shape[0] == 3


def test_an_unknown_way_of_handling_errors_is_refused(root):
    with pytest.raises(ValueError, match="choose one of raise, skip"):
        build(root, on_error="ignore")


def test_a_crop_larger_than_the_picture_names_the_picture(data_root):
    steps = [PIPELINE[0], dict(type="mmgen_ext.RandomCrop", size=64), PIPELINE[1]]
    dataset = UnpairedImageDataset(data_root, ["a", "b"], steps)
    with pytest.raises(ValueError, match=r"trainA.*48 x 48 pixels here, smaller than the crop"):
        dataset[0]
