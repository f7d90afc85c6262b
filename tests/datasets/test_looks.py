"""Pictures that look the same: versions of one are found, and others kept apart."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from mmgen_ext.datasets.images import scan_images
from mmgen_ext.datasets.looks import distinct, look_at, same_looks


def look(image):
    return look_at(np.asarray(image.convert("RGB"))[:, :, ::-1])


def recoded(image):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=30)
    return Image.open(file)


@pytest.fixture(scope="module")
def pictures(photos):
    return [
        Image.fromarray(photos[name][y : y + 200, x : x + 200])
        for name in ("astronaut", "chelsea", "coffee")
        for y in (0, 100)
        for x in (0, 180)
    ]


VERSIONS = {
    "recoded": recoded,
    "smaller": lambda image: image.resize((70, 90)),
    "larger": lambda image: image.resize((500, 500)),
    "cut": lambda image: image.crop((4, 4, 196, 196)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "gray": lambda image: image.convert("L"),
}


@pytest.mark.parametrize("version", VERSIONS)
def test_versions_of_a_picture_look_the_same_and_others_do_not(pictures, version):
    count = len(pictures)
    looks = [look(image) for image in pictures] + [look(VERSIONS[version](i)) for i in pictures]
    groups = same_looks(looks)
    assert len(set(groups[:count])) == count
    assert groups[:count].tolist() == groups[count:].tolist()


def test_white_pages_are_the_same_and_grey_ones_others(pictures):
    white, gray = (Image.new("RGB", (50, 40), color) for color in ("white", "gray"))
    groups = same_looks([look(i) for i in (white, gray, white.resize((9, 9)), pictures[0])])
    assert groups[0] == groups[2] and len(set(groups)) == 3
    assert same_looks([]).tolist() == []


def test_frames_do_not_stand_for_what_they_frame(pictures):
    def framed(image):
        canvas = Image.new("RGB", (240, 240), "white")
        canvas.paste(image, (20, 20))
        return canvas

    assert len(set(same_looks([look(framed(image)) for image in pictures]))) == len(pictures)


def test_sketches_with_much_white_are_kept_apart():
    rng, looks = np.random.default_rng(0), []
    for _ in range(60):
        page = np.full((128, 128, 3), 255, np.uint8)
        for y, x, h, w in rng.integers(8, 60, (4, 4)):
            page[y : y + 2, x : x + w] = page[y : y + h, x : x + 2] = 0
        looks.append(look_at(page))
    assert len(set(same_looks(looks))) >= 55


def test_of_a_slow_pan_some_frames_are_kept_in_the_order_asked_for(photos):
    pan = [Image.fromarray(photos["coffee"][:200, x : x + 200]) for x in range(0, 400, 4)]
    looks = [look(image) for image in pan]
    assert len(set(same_looks(looks))) == 1  # each looks like the next
    kept = distinct(looks, range(99, -1, -1))
    assert kept[0] == 99 and 4 < len(kept) < 60
    white = [look(Image.new("RGB", (9, 9), "white"))] * 3
    assert distinct(white, [2, 0, 1]) == [2] and distinct([], []) == []


def test_a_look_says_size_gray_and_colours():
    red = look_at(np.full((30, 20, 3), (0, 0, 255), np.uint8))
    assert red["size"] == [30, 20] and not red["gray"]
    assert np.allclose(red["lab"][:3], [53.24, 80.09, 67.20], atol=0.1)
    assert look_at(np.full((5, 5, 1), 90, np.uint8))["gray"]
    assert look_at(np.full((1, 1, 5), 90, np.uint8))["size"] == [1, 1]


def test_looks_are_remembered_with_the_scan(tmp_path, monkeypatch, pictures):
    monkeypatch.setenv("MMGEN_EXT_CACHE", str(tmp_path / "cache"))
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, image in zip(paths, pictures, strict=False):
        image.save(path)
    assert "look" not in scan_images(paths)[0]
    seen = scan_images(paths, look=True)
    monkeypatch.setattr("mmgen_ext.datasets.images.decode_image", None)
    assert scan_images(paths, look=True) == seen
    assert scan_images(paths)[0]["digest"] == seen[0]["digest"]


def test_what_was_looked_at_before_an_interruption_is_remembered(tmp_path, monkeypatch, pictures):
    monkeypatch.setenv("MMGEN_EXT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    paths = [tmp_path / f"{i}.png" for i in range(12)]
    for path, image in zip(paths, pictures, strict=False):
        image.save(path)
    decoded = []

    def stop(data, channels):
        decoded.append(data)
        if len(decoded) == 5:
            raise KeyboardInterrupt
        return np.zeros((9, 9, 3), np.uint8)

    monkeypatch.setattr("mmgen_ext.datasets.images.decode_image", stop)
    with pytest.raises(KeyboardInterrupt):
        scan_images(paths)
    decoded.clear()
    decoded += [b""] * 5
    scan_images(paths)
    assert len(decoded) == 5 + 8
