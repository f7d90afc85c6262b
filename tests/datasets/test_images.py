"""Reading pictures as what they show, and naming the broken ones."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from mmgen_ext.datasets.images import decode_image, list_images, read_image, scan_images


@pytest.fixture
def photo(photos):
    """A real photograph, RGB (64, 96, 3)."""
    return np.ascontiguousarray(photos["coffee"][100:164, 200:296])


def encode(image, form="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def rgb(data, **options):
    return decode_image(data, **options)[:, :, ::-1].astype(int)


def test_colour_is_read_as_bgr(photo):
    assert np.array_equal(decode_image(encode(Image.fromarray(photo)))[:, :, ::-1], photo)


def test_gray_palette_and_bilevel_are_read_as_they_show(photo):
    image = Image.fromarray(photo)
    for mode in ("L", "P", "1"):
        shown = image.convert(mode)
        assert np.array_equal(rgb(encode(shown)), np.asarray(shown.convert("RGB"))), mode


def test_sixteen_bits_are_scaled_and_not_cut(photo):
    gray = photo[:, :, 0]
    data = encode(Image.fromarray(gray.astype(np.uint16) * 257))
    assert np.array_equal(rgb(data)[:, :, 0], gray)
    assert np.array_equal(decode_image(data, channels=1)[:, :, 0], gray)


def test_transparency_lies_on_white(photo):
    alpha = np.zeros(photo.shape[:2], np.uint8)
    alpha[:, :48] = 255
    shown = rgb(encode(Image.fromarray(np.dstack([photo, alpha]))))
    assert np.array_equal(shown[:, :48], photo[:, :48])
    assert (shown[:, 48:] == 255).all()
    palette = Image.fromarray(np.zeros((4, 4), np.uint8), "P")
    palette.putpalette([10, 20, 30] + [0] * 765)
    assert (rgb(encode(palette, transparency=0)) == 255).all()


def test_cmyk_is_read_in_its_colours(photo):
    shown = rgb(encode(Image.fromarray(photo).convert("CMYK"), "JPEG", quality=100))
    assert np.abs(shown - photo).mean() < 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(photo, orientation):
    turn = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.transpose(1, 0, 2),
        6: lambda x: np.rot90(x, -1),
        7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
        8: lambda x: np.rot90(x),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    shown = rgb(encode(Image.fromarray(photo), "JPEG", quality=98, exif=exif))
    expected = turn(photo)
    assert shown.shape == expected.shape
    assert np.abs(shown - expected).mean() < 3


def test_multichannel_arrays_and_tiffs_are_read(photo):
    five = np.concatenate([photo, photo[:, :, :2]], 2)
    buffer = io.BytesIO()
    np.save(buffer, five)
    assert np.array_equal(decode_image(buffer.getvalue(), channels=5), five)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, five, photometric="minisblack", planarconfig="contig")
    assert np.array_equal(decode_image(buffer.getvalue(), channels=5), five)
    with pytest.raises(ValueError, match=r"shape \(64, 96, 5\); expected uint8 \(H, W, 3\)"):
        decode_image(buffer.getvalue())


def test_damage_is_said_and_never_shown_as_gray(photo):
    jpeg = encode(Image.fromarray(photo), "JPEG")
    with pytest.raises(ValueError, match="truncated"):
        decode_image(jpeg[: len(jpeg) // 2])
    with pytest.raises(ValueError, match="empty"):
        decode_image(b"")
    with pytest.raises(ValueError, match="not an image"):
        decode_image(b"Dear diary, today I am a JPEG.")
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((4, 4, 2), np.uint8))
    with pytest.raises(ValueError, match=r"shape \(4, 4, 2\); expected uint8 \(H, W, 3\)"):
        decode_image(buffer.getvalue())
    with pytest.raises(ValueError, match="32-bit float"):
        decode_image(encode(Image.fromarray(photo[:, :, 0].astype(np.float32)), "TIFF"))


def test_an_array_with_code_inside_is_refused(tmp_path):
    np.save(tmp_path / "bad.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle"):
        read_image(tmp_path / "bad.npy")


def test_a_file_is_named_in_its_error(tmp_path):
    path = tmp_path / "ünsinn 画.jpg"
    path.write_text("no picture")
    with pytest.raises(ValueError, match=r"ünsinn 画\.jpg: not an image"):
        read_image(path)


def test_folders_are_searched_through_and_other_files_left(tmp_path):
    for name in ("b.JPG", "a/é x.png", "a/.hidden.png", "._b.JPG", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [p.name for p in list_images(tmp_path)] == ["é x.png", "b.JPG"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no images in .*empty \(looked for .jpg"):
        list_images(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="no folder"):
        list_images(tmp_path / "none")


def test_scan_names_every_broken_file_and_remembers_the_sound_ones(tmp_path, photo, monkeypatch):
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    for path in paths:
        path.write_bytes(encode(Image.fromarray(photo)))
    paths[1].write_bytes(b"")
    paths[3].write_bytes(paths[0].read_bytes()[:200])
    errors = [check["error"] for check in scan_images(paths)]
    assert errors[0] is None and errors[2] is None
    assert "empty" in errors[1] and errors[3]
    checks = scan_images(paths)
    assert checks[0]["digest"] == checks[2]["digest"]

    def decode(data, channels):
        decoded.append(data)
        raise ValueError("still broken")

    decoded = []
    monkeypatch.setattr("mmgen_ext.datasets.images.decode_image", decode)
    scan_images(paths)
    assert len(decoded) == 2  # the broken ones: their cure need not change the file
    monkeypatch.undo()
    paths[1].write_bytes(encode(Image.fromarray(photo)))
    assert [check["error"] is None for check in scan_images(paths)] == [True, True, True, False]


@pytest.mark.parametrize("content", ["[1]", "[[1, 2]]", '{"PATH": {"stamp": [1, 2]}}'])
def test_what_another_version_has_remembered_is_seen_anew(tmp_path, photo, monkeypatch, content):
    monkeypatch.setenv("MMGEN_EXT_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "a" / "0.png"
    path.parent.mkdir()
    path.write_bytes(encode(Image.fromarray(photo)))
    for _ in range(2):
        assert [check["error"] for check in scan_images([path])] == [None]
        (memory,) = (tmp_path / "cache").glob("scan-*.json")
        memory.write_text(content.replace("PATH", path.as_posix()))


def test_large_jpegs_are_decoded_at_a_fraction_of_their_size_and_look_alike(photos):
    image = Image.fromarray(photos["coffee"]).resize((800, 640))
    data = encode(image, "JPEG", quality=95)
    small = rgb(data, at_least=150)
    assert small.shape == (160, 200, 3)
    exact = np.asarray(image.resize((200, 160), Image.Resampling.BOX)).astype(int)
    assert np.abs(small - exact).mean() < 2
    assert rgb(data, at_least=641).shape == rgb(data).shape == (640, 800, 3)
    assert rgb(encode(image), at_least=150).shape == (640, 800, 3)  # no other format does that
