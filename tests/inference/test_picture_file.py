"""Picture files with all that belongs to them."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from mmgen_ext.inference.picture_file import (
    WRITABLE,
    Picture,
    decode_picture,
    encode_picture,
    read_picture,
    write_picture,
)

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture
def photo(photos):
    return photos["coffee"][:40, :61]


def saved(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def opened(data):
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_come_upright_and_say_so(photo, orientation):
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = orientation, "a cup"
    image = Image.fromarray(photo)
    turned = opened(saved(image, "PNG", exif=exif))
    from PIL import ImageOps

    expected = np.asarray(ImageOps.exif_transpose(turned))[:, :, ::-1]
    picture = decode_picture(saved(image, "PNG", exif=exif))
    assert np.array_equal(picture.pixels, expected)
    written = opened(encode_picture(picture, ".jpg"))
    assert dict(written.getexif()) == {0x010E: "a cup"}
    # The same of 16 bits, which another library decodes.
    exif_chunk = exif.tobytes().removeprefix(b"Exif\0\0")
    deep = encode_picture(Picture(np.uint16(photo[:, :, ::-1]) * 257, exif=exif_chunk), ".png")
    assert np.array_equal(decode_picture(deep, bits=16).pixels, np.uint16(expected) * 257)


@pytest.mark.parametrize("suffix", WRITABLE)
def test_profile_and_exif_are_carried_over_where_the_format_has_them(photo, suffix):
    exif = Image.Exif()
    exif[0x010F] = "Nikon"
    data = saved(Image.fromarray(photo), "JPEG", icc_profile=SRGB, exif=exif, quality=95)
    written = opened(encode_picture(decode_picture(data), suffix))
    assert written.size == (61, 40)
    if suffix != ".bmp":
        assert written.info["icc_profile"] == SRGB
        assert written.getexif()[0x010F] == "Nikon"


def test_profile_of_other_colours_is_left_out(photo):
    gray = bytearray(SRGB)
    gray[16:20] = b"GRAY"
    data = saved(Image.fromarray(photo).convert("L"), "PNG", icc_profile=bytes(gray))
    assert decode_picture(data).profile is None
    assert decode_picture(data, channels=1).profile == bytes(gray)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_alpha_is_kept(photo, mode):
    alpha = np.linspace(0, 255, photo[..., 0].size).astype(np.uint8).reshape(photo.shape[:2])
    image = Image.fromarray(np.dstack([photo, alpha]))
    image = image.quantize() if mode == "P" else image.convert(mode)
    alpha = np.asarray(image.convert("RGBA"))[..., 3]
    picture = decode_picture(saved(image, "PNG"))
    assert np.array_equal(picture.alpha, alpha)
    assert (picture.pixels[alpha == 0] == 255).all()
    for suffix in (".png", ".webp", ".tif"):
        assert np.array_equal(np.asarray(opened(encode_picture(picture, suffix)))[..., 3], alpha)
    on_white = np.asarray(opened(encode_picture(picture, ".bmp")))
    assert on_white.shape == (40, 61, 3) and (on_white[alpha == 0] == 255).all()


@pytest.mark.parametrize("source", [".png", ".tif"])
@pytest.mark.parametrize("target", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_stay_if_asked(photo, source, target, channels):
    deep = photo[:, :, ::-1].astype(np.uint16) * 200 + 17
    array = {1: deep[..., 0], 3: deep, 4: np.dstack([deep, deep[..., 0] + 1])}[channels]
    data = cv2.imencode(source, array)[1].tobytes()
    picture = decode_picture(data, bits=16)
    assert picture.pixels.dtype == np.uint16
    assert np.array_equal(picture.pixels, np.dstack([array] * 3) if channels == 1 else deep)
    picture.profile = SRGB
    again = decode_picture(encode_picture(picture, target), bits=16)
    assert np.array_equal(again.pixels, picture.pixels)
    assert channels < 4 or np.array_equal(again.alpha, array[..., 3])
    assert again.profile == SRGB
    assert np.array_equal(decode_picture(data).pixels, (picture.pixels >> 8).astype(np.uint8))


def test_tags_about_a_tiff_file_itself_are_not_exif(photo):
    data = io.BytesIO()
    tifffile.imwrite(data, photo, description="a cup", metadata=None)
    picture = decode_picture(data.getvalue())
    assert dict(opened(encode_picture(picture, ".jpg")).getexif())[270] == "a cup"
    assert 273 not in opened(encode_picture(picture, ".jpg")).getexif()  # StripOffsets


def test_sixteen_bit_tiff_keeps_the_words_of_exif(photo):
    exif = Image.Exif()
    exif[0x010E], exif[0x8298] = "a cup", "me"
    data = saved(Image.fromarray(photo), "JPEG", exif=exif)
    written = opened(encode_picture(decode_picture(data, bits=16), ".tif"))
    assert written.tag_v2[270] == "a cup" and written.tag_v2[33432] == "me"


def test_eight_bits_fill_sixteen(photo):
    picture = decode_picture(saved(Image.fromarray(photo), "PNG"), bits=16)
    assert np.array_equal(picture.pixels, np.uint16(photo[:, :, ::-1]) * 257)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([".png", ".tif", ".bmp"]))
def test_lossless_formats_return_the_pixels(height, width, suffix):
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    assert np.array_equal(decode_picture(encode_picture(Picture(pixels), suffix)).pixels, pixels)


def png_claiming(width, height):
    def chunk(kind, content):
        crc = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + crc

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b"")


def test_bad_files_get_a_sentence(tmp_path):
    for name, data, text in (
        ("bomb.png", png_claiming(100_000, 100_000), "claims more than 179 million pixels"),
        ("cut.png", png_claiming(100, 100), "image file is truncated"),
        ("empty.png", b"", "the file is empty"),
        ("letter.png", b"Dear diary", "not an image"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=rf"cannot read .*{name}: .*{text}"):
            read_picture(tmp_path / name)


def test_what_a_format_cannot_hold_is_said(tmp_path):
    deep = Picture(np.zeros((4, 4, 3), np.uint16))
    with pytest.raises(ValueError, match=r"\.jpg holds 8 bits; write 16 bits to \.png"):
        write_picture(tmp_path / "a.jpg", deep)
    with pytest.raises(ValueError, match="5 channels cannot be written"):
        write_picture(tmp_path / "a.png", Picture(np.zeros((4, 4, 5), np.uint8)))
    with pytest.raises(ValueError, match=r"not written as .\.xyz."):
        encode_picture(deep, ".xyz")
    assert not list(tmp_path.iterdir())
