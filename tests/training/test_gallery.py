"""The gallery: the same test pictures each time, both directions, and where they are."""

import json

import numpy as np
import pytest
from PIL import Image

from mmgen_ext.datasets.images import list_images
from mmgen_ext.evaluation.image_sets import Preparation
from mmgen_ext.inference import labels
from mmgen_ext.inference.translator import Translator
from mmgen_ext.training.sheet import gallery_sheet, label


@pytest.fixture(scope="module")
def sheets(averaged):
    paths = sorted((averaged / "training_samples").glob("iter_*.png"))
    assert [path.name for path in paths] == ["iter_3.png", "iter_6.png"]
    return [Image.open(path) for path in paths]


def cell(sheet, box):
    x, y, width, height = box
    return np.asarray(sheet)[y : y + height, x : x + width, ::-1]


def test_the_sheet_says_where_what_is(sheets):
    rows = json.loads(sheets[0].text["layout"])["rows"]
    assert [(row["source"], row["target"]) for row in rows] == [("a", "b")] * 3 + [("b", "a")] * 3
    assert all({"real", "fake", "cycle", "identity"} <= set(row) for row in rows)


def test_real_pictures_are_the_same_each_time_and_fakes_are_not(sheets):
    layouts = [json.loads(sheet.text["layout"])["rows"] for sheet in sheets]
    assert layouts[0] == layouts[1]
    for row in layouts[0]:
        real, later = (cell(sheet, row["real"]) for sheet in sheets)
        np.testing.assert_array_equal(real, later)
        fake, later = (cell(sheet, row["fake"]) for sheet in sheets)
        assert not np.array_equal(fake, later)


def test_cells_are_what_the_averaged_weights_make_of_test_pictures(sheets, averaged, crops):
    translator = Translator(None, averaged / "latest.pth")
    rows = json.loads(sheets[1].text["layout"])["rows"]
    pictures = {d: list_images(crops / f"test{x}") for d, x in (("a", "A"), ("b", "B"))}
    first = {d: Preparation(None).read(paths[0]) for d, paths in pictures.items()}
    for row, source, target in ((rows[0], "a", "b"), (rows[3], "b", "a")):
        fake = translator(first[source], target)
        made = dict(real=first[source], fake=fake, cycle=translator(fake, source))
        made["identity"] = translator(first[source], source)
        for kind, image in made.items():
            np.testing.assert_array_equal(cell(sheets[1], row[kind]), image, err_msg=kind)


def test_without_test_pictures_training_pictures_are_shown(tool, tiny_config, crops, tmp_path):
    for folder in ("trainA", "trainB"):
        (tmp_path / "set" / folder).mkdir(parents=True)
        for path in list_images(crops / folder):
            (tmp_path / "set" / folder / path.name).write_bytes(path.read_bytes())
    run = ["train", tiny_config, "--work-dir", tmp_path / "run", "--cfg-options"]
    result = tool(*run, f"data_root={tmp_path / 'set'}", "total_iters=3")
    assert result.code == 0, result.err[-600:]
    sheet = Image.open(tmp_path / "run" / "training_samples" / "iter_3.png")
    row = json.loads(sheet.text["layout"])["rows"][0]
    first = Preparation(None).read(list_images(crops / "trainA")[0])
    np.testing.assert_array_equal(cell(sheet, row["real"]), first)


def test_names_of_domains_are_never_broken():
    assert labels._wrap("identity drawing", labels.pick_font("a", 12), 96) == [
        "identity",
        "drawing",
    ]
    one, two = (label("identity", domain, 96).shape[0] for domain in ("a", "impressionists"))
    assert two == label("identity", 40 * "impressionist", 96).shape[0] == 2 * one


def test_sheets_take_gray_small_and_missing_pictures():
    gray, colour = np.full((20, 30, 1), 7, np.uint8), np.full((10, 12, 3), 9, np.uint8)
    rows = [
        dict(source="图", target="b", real=gray, fake=colour),
        dict(source="b", target="图", real=colour, fake=gray),
    ]
    sheet, layout = gallery_sheet(rows)
    for row, boxes in zip(rows, json.loads(layout)["rows"], strict=True):
        assert "cycle" not in boxes
        for kind in ("real", "fake"):
            x, y, width, height = boxes[kind]
            assert (height, width) == row[kind].shape[:2]
            assert (sheet[y : y + height, x : x + width] == row[kind].flat[0]).all()
