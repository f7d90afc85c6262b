"""The demo's data set: unpaired, deterministic, with a strip that training never sees."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmgen_ext.datasets import demo
from mmgen_ext.datasets.demo import MARGIN, PHOTOS, TEST_SIDE, TRAIN_SIDE, repaint
from mmgen_ext.datasets.images import list_images, read_image

FOLDERS = ("trainA", "trainB", "testA", "testB")


def make(root, seed):
    demo.make_demo_dataset(root, seed)
    return {f: {p.name: read_image(p) for p in list_images(root / f)} for f in FOLDERS}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Seeds 0, 0 and 1 with three pieces a photograph instead of sixty."""
    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "NUM_PIECES", 3)
        return [make(root / name, seed) for name, seed in (("démo 画", 0), ("b", 0), ("c", 1))]


@pytest.fixture(scope="module")
def pictures():
    """Every photograph and its drawing, by name."""
    photos = {Path(name).stem: demo.read_photo(name) for name in PHOTOS}
    return {stem: (photo, repaint(photo)) for stem, photo in photos.items()}


def place(piece, picture):
    """Corner (y, x) of the only place where a picture holds this piece exactly."""
    match = cv2.matchTemplate(picture, np.ascontiguousarray(piece), cv2.TM_SQDIFF_NORMED)
    y, x = np.unravel_index(match.argmin(), match.shape)
    assert np.array_equal(picture[y : y + piece.shape[0], x : x + piece.shape[1]], piece)
    return y, x


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_counts_and_sizes(made):
    data = made[0]
    assert [len(data[f]) for f in FOLDERS] == [12, 12, 12, 12]
    assert {i.shape for f in FOLDERS[:2] for i in data[f].values()} == {(TRAIN_SIDE, TRAIN_SIDE, 3)}
    assert {i.shape for f in FOLDERS[2:] for i in data[f].values()} == {(TEST_SIDE, TEST_SIDE, 3)}
    assert data["testA"].keys() == data["testB"].keys()


def test_the_same_seed_gives_the_same_pictures_and_another_gives_others(made):
    first, again, other = made
    assert all(same(first[f], again[f]) for f in FOLDERS)
    assert not same(first["trainA"], other["trainA"])
    assert not same(first["trainB"], other["trainB"])
    assert same(first["testA"], other["testA"])


def test_every_held_out_drawing_is_the_truth_of_the_photograph_of_its_name(made, pictures):
    for name, piece in made[0]["testA"].items():
        stem, _, number = name.removesuffix(".png").rpartition("_")
        photo, drawing = pictures[stem]
        y, x = place(piece, photo)
        assert y == int(number) * TEST_SIDE
        assert np.array_equal(drawing[y : y + TEST_SIDE, x : x + TEST_SIDE], made[0]["testB"][name])


def test_no_training_piece_comes_near_the_strip_or_stands_in_both_domains(made, pictures):
    for data in made[1:]:
        places = {}
        for which, folder in enumerate(("trainA", "trainB")):
            for name, piece in data[folder].items():
                stem = name.rpartition("_")[0]
                picture = pictures[stem][which]
                y, x = place(piece, picture)
                strip = round(PHOTOS[f"{stem}.png"] * picture.shape[1])
                assert x + TRAIN_SIDE + MARGIN <= strip or x >= strip + TEST_SIDE + MARGIN
                assert places.setdefault((stem, y, x), folder) == folder
        assert len(places) == 24


def test_no_corner_is_used_twice(monkeypatch):
    monkeypatch.setattr(demo, "NUM_PIECES", 3)
    beyond = -TEST_SIDE - MARGIN
    corners = demo.train_corners(TRAIN_SIDE + 1, TRAIN_SIDE + 2, beyond, np.random.default_rng(0))
    assert sorted(corners) == [(y, x) for y in range(2) for x in range(3)]


def test_the_filter_reaches_no_further_than_the_margin(pictures):
    photo, drawing = pictures["coffee"]
    changed = photo.copy()
    changed[:, 200:] = np.random.default_rng(0).integers(0, 256, changed[:, 200:].shape)
    near = 200 - MARGIN
    assert np.array_equal(repaint(changed)[:, :near], drawing[:, :near])


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_a_flat_colour_becomes_its_cool_twin_lifted_and_without_ink(color):
    blue, green, red = color
    expected = [255 * (v / 255) ** 0.8 for v in (max(blue, red), green, min(blue, red))]
    flat = np.full((8, 8, 3), color, np.uint8)
    assert np.abs(repaint(flat) - expected).max() <= 0.51
    assert (flat == color).all()


def test_the_filter_draws_dark_lines_along_edges():
    image = np.full((32, 32, 3), 120, np.uint8)
    image[:, 16:] = 240
    row = repaint(image)[16].mean(axis=1)
    assert row[15:17].min() < 0.75 * row[4] < row[28]
