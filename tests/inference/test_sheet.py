"""The contact sheet: which models there are, and one picture in the style of each."""

import gc
import os
import shutil
import weakref

import numpy as np
import pytest

from mmgen_ext.export import export_onnx
from mmgen_ext.inference import labels, sheet
from mmgen_ext.inference.publish import publish
from mmgen_ext.inference.sheet import contact_sheet, find_styles, style_sheet
from mmgen_ext.inference.translator import Translator


@pytest.fixture(scope="module")
def styles(trained, tmp_path_factory):
    """A folder of artefacts: a checkpoint, two published files, an exported one, a broken one."""
    folder = tmp_path_factory.mktemp("styles 画")
    shutil.copyfile(trained / "iter_6.pth", folder / "iter_6.pth")
    publish(trained / "latest.pth", folder / "half.pth", "a")
    publish(trained / "latest.pth", folder / "safe.safetensors", "a")
    export_onnx(None, trained / "latest.pth", folder / "exported.onnx", "b")
    (folder / "broken.pt").write_bytes(b"no checkpoint")
    (folder / "._iter_6.pth").write_bytes(b"of macOS")
    (folder / "readme.txt").write_text("styles")
    return folder


@pytest.fixture
def picture(photos):
    return np.ascontiguousarray(photos["coffee"][:60, :90, ::-1])


def test_folder_is_listed_as_people_count(tmp_path):
    for name in ("iter_10.pth", "iter_2.pth", "B.onnx", "a.safetensors", "7.pt", "x.txt", ".z.pth"):
        (tmp_path / name).write_text(name)
    (tmp_path / "folder.pth").mkdir()
    names = [path.name for path in find_styles([tmp_path])]
    assert names == ["7.pt", "a.safetensors", "B.onnx", "iter_2.pth", "iter_10.pth"]


def test_latest_is_left_out_only_where_it_is_another_names_file(trained, tmp_path):
    names = [path.name for path in find_styles([trained])]
    assert names == ["iter_2.pth", "iter_4.pth", "iter_6.pth"]
    for name, text in (("iter_1.pth", "1"), ("latest.pth", "2")):
        (tmp_path / name).write_text(text)
        os.utime(tmp_path / name, (0, 0))  # Neither size nor time tells them apart.
    assert [path.name for path in find_styles([tmp_path])] == ["iter_1.pth", "latest.pth"]


def test_files_and_folders_are_each_taken_once_in_the_order_named(tmp_path):
    for name in ("a.pth", "b.pth"):
        (tmp_path / name).write_text(name)
    found = find_styles([tmp_path / "b.pth", tmp_path])
    assert [path.name for path in found] == ["b.pth", "a.pth"]


def test_nothing_to_find_gets_a_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no models in .* \(looked for \.pth .*\.onnx\)"):
        find_styles([tmp_path])
    with pytest.raises(FileNotFoundError, match=r"no checkpoint .*no\.pth"):
        find_styles([tmp_path / "no.pth"])
    with pytest.raises(FileNotFoundError, match="no checkpoints were named"):
        find_styles([])


def test_every_artefact_is_on_the_sheet_and_the_broken_one_is_listed(
    styles, picture, monkeypatch, trained
):
    drawn = {}
    monkeypatch.setattr(sheet, "style_sheet", lambda image, made: drawn.update(made) or image)
    _, failed = contact_sheet(find_styles([styles]), picture, device="cpu")
    assert list(failed) == [styles / "broken.pt"]
    assert "broken.pt" in failed[styles / "broken.pt"]
    half, safe = (next(styles.glob(pattern)).stem for pattern in ("half*", "safe*"))
    assert list(drawn) == ["b (exported)", f"a ({half})", "b (iter_6)", f"a ({safe})"]
    translator = Translator(None, trained / "latest.pth", device="cpu")
    for name, made in drawn.items():
        expected = translator(picture, name[0]).astype(int)
        assert np.abs(expected - made).max() <= 1


def test_label_is_the_domain_alone_where_that_is_enough(styles, picture, monkeypatch):
    drawn = {}
    monkeypatch.setattr(sheet, "style_sheet", lambda image, made: drawn.update(made) or image)
    contact_sheet([styles / "iter_6.pth", next(styles.glob("half*.pth"))], picture, device="cpu")
    assert list(drawn) == ["b", "a"]


def test_labels_differ_even_for_files_of_one_name(styles, picture, tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(sheet, "style_sheet", lambda image, made: drawn.update(made) or image)
    folders = [tmp_path / name for name in "xy"]
    for folder in folders:
        folder.mkdir()
        shutil.copyfile(styles / "iter_6.pth", folder / "one.pth")
    paths = [folder / "one.pth" for folder in folders]
    contact_sheet(paths, picture, device="cpu")
    assert list(drawn) == [f"b ({path})" for path in paths]


def test_one_model_at_a_time_is_in_memory(styles, picture, monkeypatch):
    alive, most = weakref.WeakSet(), []

    def counted(*args, **kwargs):
        gc.collect()
        most.append(len(alive))
        translator = Translator(*args, **kwargs)
        alive.add(translator)
        return translator

    monkeypatch.setattr(sheet, "Translator", counted)
    contact_sheet([styles / "iter_6.pth"] * 3, picture, device="cpu")
    assert most == [0, 0, 0]


def test_asked_for_domain_is_made_and_those_without_it_are_listed(styles, picture):
    _, failed = contact_sheet(
        [styles / "iter_6.pth", styles / "exported.onnx"], picture, "a", device="cpu"
    )
    assert list(failed) == [styles / "exported.onnx"]
    assert "this model makes b" in failed[styles / "exported.onnx"]


def test_sheet_of_broken_models_alone_gets_a_sentence(styles, picture):
    with pytest.raises(ValueError, match=r"none of the models can be used:\n  .*broken\.pt"):
        contact_sheet([styles / "broken.pt"], picture)


def test_exported_file_goes_with_any_precision(styles, picture):
    paths = [styles / "exported.onnx", styles / "iter_6.pth"]
    assert not contact_sheet(paths, picture, device="cpu", precision="bf16")[1]


def find(sheet, picture):
    """(row, column) of a picture's exact pixels on a sheet."""
    height, width = picture.shape[:2]
    windows = np.lib.stride_tricks.sliding_window_view(sheet, (1, 1, 3))[:, :, 0, 0, 0]
    for y, x in np.argwhere((windows == picture[0, 0]).all(2)):
        if np.array_equal(sheet[y : y + height, x : x + width], picture):
            return int(y), int(x)
    raise AssertionError("not on the sheet")


def test_original_comes_first_and_every_picture_is_there_in_rows(picture):
    versions = {f"style {i}": np.roll(picture, i, axis=2) // i for i in (1, 2, 3, 4, 5)}
    made = style_sheet(picture // 2 + 50, versions)
    places = [find(made, picture // 2 + 50), *(find(made, v) for v in versions.values())]
    assert places == sorted(places)
    assert len({x for _, x in places}) == 2  # A word needs more room than these pictures.
    height, width = made.shape[:2]
    assert 0.6 < height / width < 1.7
    for y, x in places:  # Above each there is a name, and beside it white.
        assert made[y - 20 : y, x : x + 90].min() < 100
        assert made[y : y + 60, x + 90 : x + 95].min() == 255


def test_short_name_beside_a_long_one_stands_on_its_picture(picture):
    made = style_sheet(picture // 2 + 50, {"long " * 20: picture // 2})
    y, x = find(made, picture // 2 + 50)
    assert made[y - 20 : y, x : x + 90].min() < 100
    assert made[: y - 30, x : x + 90].min() == 255


def test_cells_are_at_most_as_large_as_asked_for(photos):
    image = photos["rocket"][:, :300]
    made = style_sheet(image, {"gray": image[..., :1], "two": image[..., :2]}, longest=100, gap=5)
    assert made.shape[2] == 3
    assert max(made.shape) < 320


def test_long_names_are_wrapped_and_not_cut():
    one = labels.text_lines("abc", 200, 18)
    many = labels.text_lines("abc" * 30, 200, 18)
    assert one.shape[1] == many.shape[1] == 200
    assert many.shape[0] >= 4 * one.shape[0]
    assert (many[:, -2:] < 128).sum() == 0
    dark = (many < 128).sum() / (one < 128).sum()
    assert 27 < dark < 33


def test_a_font_is_taken_that_knows_the_script(monkeypatch):
    assert labels.pick_font("monet", 18).getname() == ("DejaVu Sans", "Book")
    name = labels.font_names()[0]
    monkeypatch.setattr(labels, "font_names", lambda: [None, "no such font.ttc", name])
    assert labels.pick_font("monet", 18).getname()[0] != "DejaVu Sans"
    assert labels.pick_font("весна", 18).getname()[0] == "DejaVu Sans"


def test_lines_break_at_spaces_and_long_words_anywhere():
    font = labels.pick_font("monet", 18)
    assert labels._wrap("the water lilies", font, 100) == ["the water", "lilies"]
    assert labels._wrap("waterlilies" * 3, font, 100) == ["waterlilies"] * 3
    for text in ("the water lilies of monet", "waterlilies" * 3, "a " + "b" * 40 + " c"):
        assert all(font.getlength(line) <= 100 for line in labels._wrap(text, font, 100))
    short = labels.shortened("waterlilies" * 3, 100, 18)
    assert short.endswith("…") and font.getlength(short) <= 100
    assert labels.shortened("lilies", 100, 18) == "lilies"


def test_what_no_font_knows_becomes_question_marks(monkeypatch):
    name = labels.font_names()[0]
    monkeypatch.setattr(labels, "font_names", lambda: [name])
    got = labels.text_lines("浮世 été", 200, 18)
    assert np.array_equal(got, labels.text_lines("?? été", 200, 18))
    assert not np.array_equal(got, labels.text_lines("?? ?t?", 200, 18))
