"""Colours of frames against the formulas of the standards."""

from types import SimpleNamespace

import numpy as np
import pytest

from mmgen_ext.inference.colours import Colours, from_bgr, to_bgr

av = pytest.importorskip("av")
TAGS = SimpleNamespace(color_primaries=2, color_trc=2)
WEIGHTS = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}


def blocks():
    """Random colours in blocks of 16 x 16, whose middles no filter touches."""
    colours = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return colours.repeat(16, 0).repeat(16, 1)


def reference(bgr, matrix, full):
    """Y, U and V of ITU-R BT.601, BT.709 and BT.2020, unrounded."""
    red, blue = WEIGHTS[matrix]
    b, g, r = np.moveaxis(bgr.astype(float) / 255, 2, 0)
    y = red * r + (1 - red - blue) * g + blue * b
    u, v = (b - y) / (2 - 2 * blue), (r - y) / (2 - 2 * red)
    scale = (255, 255, 0) if full else (219, 224, 16)
    return scale[2] + scale[0] * y, 128 + scale[1] * u, 128 + scale[1] * v


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", WEIGHTS)
def test_every_matrix_and_range_is_read_by_its_formula(matrix, full):
    image = blocks()
    planes = [np.rint(p).clip(0, 255).astype(np.uint8) for p in reference(image, matrix, full)]
    frame = av.VideoFrame.from_ndarray(np.stack(planes), format="yuv444p")
    frame.colorspace, frame.color_range = matrix, 2 if full else 1
    got = to_bgr(frame, Colours.of(frame, TAGS), 128, 128)
    assert np.abs(got.astype(int) - image).max() <= 3


@pytest.mark.parametrize("matrix", WEIGHTS)
def test_every_matrix_is_written_by_its_formula(matrix):
    if matrix == 9 and int(av.__version__.split(".")[0]) < 18:
        pytest.skip("PyAV 17 cannot write BT.2020")
    image = blocks()
    planes = from_bgr(image, Colours(matrix), "yuv420p").to_ndarray()
    y, u, v = reference(image, matrix, full=False)
    assert np.abs(planes[:128] - y).max() <= 1
    for got, expected in ((planes[128:160], u), (planes[160:], v)):
        middle = got.reshape(64, 64)[3::8, 3::8]
        assert np.abs(middle - expected[7::16, 7::16]).max() <= 1


@pytest.mark.parametrize(("height", "matrix"), [(576, 6), (720, 1), (1080, 1)])
def test_untagged_colours_are_guessed_by_height_as_players_do(height, matrix):
    assert Colours(2, 2, 2, height).swscale() == Colours(matrix).swscale()


def test_what_is_transparent_is_white():
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[:8] = (10, 200, 30, 255)
    pixels[8:, 8:, 3] = 128
    frame = av.VideoFrame.from_ndarray(pixels, format="bgra")
    got = to_bgr(frame, Colours.of(frame, TAGS), 16, 16)
    assert got[2, 2].tolist() == [10, 200, 30]
    assert got[12, 2].tolist() == [255, 255, 255] and got[12, 12].tolist() == [127] * 3


def test_gray_and_ten_bits_are_read():
    gray = av.VideoFrame.from_ndarray(np.full((16, 16), 200, np.uint8), format="gray")
    assert np.abs(to_bgr(gray, Colours.of(gray, TAGS), 16, 16).astype(int) - 200).max() <= 1
    # 64 is black and 940 white where 10 bits use the limited range.
    deep = av.VideoFrame(16, 16, "yuv420p10le").reformat(format="yuv420p10le")
    for plane, value in zip(deep.planes, (502, 512, 512), strict=True):
        plane.update(np.full(plane.buffer_size // 2, value, np.uint16).tobytes())
    assert np.abs(to_bgr(deep, Colours.of(deep, TAGS), 16, 16).astype(int) - 127.5).max() <= 1
