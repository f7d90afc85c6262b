"""A report on a data set: what is in it, what is wrong, what to do, and whether it can be used."""

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from processes import ROOT

from mmgen_ext.prepare.check import colours, look_through
from mmgen_ext.prepare.check_report import check_set


@pytest.fixture
def root(tmp_path, photos):
    """trainA 6, trainB 6, testA 2, testB 2 of 140 x 150 pixels, all different."""
    for letter, name in (("A", "coffee"), ("B", "astronaut")):
        for i, (y, x) in enumerate((y, x) for y in (0, 120) for x in (0, 90, 180, 270)):
            folder = tmp_path / "my set" / f"{'test' if i > 5 else 'train'}{letter}"
            folder.mkdir(parents=True, exist_ok=True)
            piece = Image.fromarray(photos[name][y : y + 140, x : x + 150])
            piece.save(folder / f"{i}.png")
    return tmp_path / "my set"


def report(root, tmp_path):
    return check_set(root, tmp_path / "sheet" / "samples.png")


def row(text, folder):
    line = next(line for line in text.splitlines() if line.startswith(f"| {folder} "))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_a_good_set_is_counted_and_shown(root, tmp_path, monkeypatch):
    monkeypatch.setattr("mmgen_ext.prepare.check_report._FEW", 3)
    said = report(root, tmp_path)
    assert said.usable and said.text.endswith("Verdict: good")
    assert row(said.text, "trainA")[:1] == ["6"]
    assert row(said.text, "trainA")[2:] == ["150 x 140"] * 3 + ["0"] * 5
    assert f"samples: {tmp_path / 'sheet' / 'samples.png'}" in said.text
    width, height = Image.open(tmp_path / "sheet" / "samples.png").size
    assert width == 1206 and height > 4 * 150


def test_few_pictures_are_a_warning(root, tmp_path):
    said = report(root, tmp_path)
    assert said.usable and "Verdict: usable, with 2 warnings" in said.text
    assert "trainA has only 6 pictures" in said.text


def test_copies_and_versions_across_and_inside_are_named(root, tmp_path):
    shutil.copy(root / "trainA" / "0.png", root / "testA" / "copy.png")
    shutil.copy(root / "trainA" / "1.png", root / "trainA" / "again.png")
    Image.open(root / "trainB" / "2.png").resize((130, 129)).save(root / "testB" / "small.jpg")
    Image.open(root / "trainB" / "3.png").save(root / "trainB" / "other.jpg", quality=40)
    shutil.copy(root / "trainA" / "4.png", root / "trainB" / "wrong.png")
    said = report(root, tmp_path)
    assert f"{root / 'testA' / 'copy.png'} = {root / 'trainA' / '0.png'}" in said.text
    assert f"{root / 'testB' / 'small.jpg'} looks like {root / 'trainB' / '2.png'}" in said.text
    assert f"{root / 'trainB' / 'wrong.png'} = {root / 'trainA' / '4.png'}" in said.text
    assert row(said.text, "trainA")[-2:] == ["1", "0"]
    assert row(said.text, "trainB")[-2:] == ["0", "1"]
    for words in (
        "trainA: copies, of which one is enough: ",
        "1 test picture of A in training too",
        "1 test picture of B in training too",
        "1 picture in both domains",
    ):
        assert words in said.text
    assert said.usable


def test_gray_and_tiny_pictures_are_counted(root, tmp_path):
    Image.open(root / "trainA" / "0.png").convert("L").convert("RGB").save(root / "trainA/0.png")
    Image.open(root / "trainA" / "1.png").resize((60, 300)).save(root / "trainA" / "1.png")
    said = report(root, tmp_path)
    assert row(said.text, "trainA")[-4:-2] == ["1", "1"]
    assert "1 of 6 are gray among coloured ones" in said.text
    assert "1 of 6 are tiny, less than 128 pixels" in said.text


def test_a_broken_file_makes_it_unusable_and_is_named(root, tmp_path):
    (root / "testB" / "text.jpg").write_text("hello")
    said = report(root, tmp_path)
    assert not said.usable
    assert f"{root / 'testB' / 'text.jpg'}: not an image" in said.text
    assert "Verdict: it cannot be trained on as it is\n  error: 1 broken file: " in said.text


def test_missing_and_empty_folders(root, tmp_path):
    shutil.rmtree(root / "testA")
    assert "there is no testA" in report(root, tmp_path).text
    for path in (root / "trainB").iterdir():
        path.unlink()
    (root / "trainB" / "x.heic").touch()
    said = report(root, tmp_path)
    assert not said.usable and "trainB holds no picture that can be read" in said.text
    assert "training does not read 1 .heic: make a set of them with own" in said.text
    shutil.rmtree(root / "trainB")
    said = report(root, tmp_path)
    assert not said.usable and "trainB is missing" in said.text


def test_a_single_folder_can_be_checked_before_it_becomes_a_set(root, tmp_path):
    shutil.copytree(root / "trainA", tmp_path / "画")
    said = report(tmp_path / "画", tmp_path)
    assert said.usable and row(said.text, "画")[0] == "6" and "trainA" not in said.text
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no images in"):
        report(tmp_path / "empty", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"prepare_data\.py monet2photo --out"):
        report(tmp_path / "monet2photo", tmp_path)


def test_colours_are_those_of_the_pixels(root):
    for path in (root / "trainB").iterdir():
        Image.fromarray(np.full((130, 130, 3), (255, 0, 0), np.uint8)).save(path)
    folder = look_through(root).folders["trainB"]
    mean, deviation = colours([folder])
    assert np.allclose(mean, [53.24, 80.09, 67.20], atol=0.1) and np.allclose(deviation, 0, atol=1)


def test_the_command_ends_with_the_verdict_as_its_status(root, tmp_path, tool, sentence):
    result = tool("prepare_data", "check", root, "--out", tmp_path / "a.png")
    assert result.code == 0 and (tmp_path / "a.png").is_file()
    (root / "trainA" / "void.png").touch()
    assert tool("prepare_data", "check", root, "--out", tmp_path / "a.png").code == 1
    sentence(tool("prepare_data", "check", tmp_path / "none"), "no folder")


def test_the_command_ends_with_the_next_one(root, tmp_path, tool):
    def last_line(path):
        result = tool("prepare_data", "check", path, "--out", tmp_path / "a.png")
        return result.out.splitlines()[-1].replace("'", "").replace('"', "")

    train = "Train: python tools/train.py configs/cyclegan/"
    shown = f"data_root={root.as_posix()} domains=a,b model.default_domain=b"
    assert last_line(root).startswith(train + "cyclegan_lsgan_resnet_in_b1x1_80k_monet2photo.py ")
    assert last_line(root).endswith(shown)
    known = root.rename(tmp_path / "monet2photo")
    assert last_line(known).endswith(
        f"_80k_monet2photo.py --cfg-options data_root={known.as_posix()}"
    )
    assert last_line(known / "trainA").startswith("Make a set of it and another folder: ")
    (known / "trainA" / "void.png").touch()
    assert last_line(known).startswith("Then look again: python tools/prepare_data.py check ")


def test_the_next_command_trains_with_the_config_that_own_has_written(
    tmp_path, monkeypatch, capsys
):
    spec = importlib.util.spec_from_file_location("it", ROOT / "tools" / "prepare_data.py")
    prepare_data = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(prepare_data)
    configs = tmp_path / "configs" / "cyclegan"
    configs.mkdir(parents=True)
    (configs / "mine.py").write_text("data_root = 'data/mine'\n", "utf-8")
    for config in prepare_data.CONFIGS.glob("*_80k_monet2photo.py"):
        shutil.copy(config, configs)
    monkeypatch.setattr(prepare_data, "ROOT", tmp_path)
    monkeypatch.setattr(prepare_data, "CONFIGS", configs)
    monkeypatch.setattr(prepare_data, "OWN", configs)
    monkeypatch.chdir(tmp_path)
    found = prepare_data.train_command(Path("data", "mine"))
    assert found == "python tools/train.py configs/cyclegan/mine.py"
    # Another set of the same name is not what the config trains on.
    assert "data_root=other/mine" in prepare_data.train_command(Path("other", "mine"))
    for text, said in (("data_root = (", "cannot read config"), ("x = 1", "")):
        (configs / "mine.py").write_text(text, "utf-8")
        assert "data_root=data/mine" in prepare_data.train_command(Path("data", "mine"))
        noted = capsys.readouterr().err
        assert said in noted and len(noted.splitlines()) == bool(said)
