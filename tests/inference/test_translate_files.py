"""tools/translate.py on many files, pipes, and all that goes wrong in between."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from processes import ROOT, Tool

from mmgen_ext.apis import Translator, translate


@pytest.fixture(scope="module")
def many(tmp_path_factory, photos):
    """A folder of 120 photographs of several sizes."""
    folder = tmp_path_factory.mktemp("many") / "holidays"
    folder.mkdir()
    for i in range(120):
        crop = photos["rocket"][i : i + 160 + i % 3, 2 * i : 2 * i + 200]
        Image.fromarray(crop).save(folder / f"{i:03d}.png")
    return folder


@pytest.fixture
def photo(photos, tmp_path):
    path = tmp_path / "a cup 杯.png"
    Image.fromarray(photos["coffee"][:50, :71]).save(path)
    return path


def command(*args):
    return [sys.executable, ROOT / "tools" / "translate.py", *map(str, args)]


def whole(folder):
    """Pictures of a folder, of which each can be decoded."""
    paths = sorted(folder.glob("*.png"))
    for path in paths:
        Image.open(path).load()
    return paths


def test_standard_input_to_standard_output(trained, photo, tmp_path):
    run = command("auto", trained / "latest.pth", "-", "--to", "a")
    result = subprocess.run(run, input=photo.read_bytes(), capture_output=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    piped = np.asarray(Image.open(io.BytesIO(result.stdout)))
    expected = translate(trained / "latest.pth", photo, tmp_path / "new.png", "a")
    difference = np.abs(piped.astype(int) - np.asarray(Image.open(expected[0])))
    assert difference.max() <= 1  # by another number of threads
    broken = subprocess.run(run, input=b"no picture", capture_output=True, cwd=tmp_path)
    assert broken.returncode == 1 and not broken.stdout
    assert broken.stderr.decode().strip() == "error: cannot read standard input: not an image"


def test_a_killed_run_goes_on_with_what_is_missing(trained, many, tmp_path):
    out = tmp_path / "out"
    args = ["auto", trained / "latest.pth", many, "--out", out]
    run = Tool("translate", *args, output=tmp_path / "log")
    run.wait_for(lambda: len(list(out.glob("[0-9]*.png"))) > 20)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    done = {path: path.stat().st_mtime_ns for path in whole(out)}
    assert 20 < len(done) < 120
    (out / ".119.png.1.part").write_bytes(b"half of it")  # as a kill in the middle leaves it
    again = Tool("translate", *args, output=tmp_path / "log2")
    assert again.wait() == 0
    assert f"{len(done)} already there" in again.text
    assert f"{120 - len(done)} translated" in again.text
    assert len(whole(out)) == 120 and len(list(out.iterdir())) == 120
    assert all(path.stat().st_mtime_ns == time for path, time in done.items())


def test_ctrl_c_keeps_what_is_done(trained, many, tmp_path):
    out = tmp_path / "out"
    run = Tool("translate", "auto", trained / "latest.pth", many, "--out", out,
               output=tmp_path / "log")  # fmt: skip
    run.wait_for(lambda: len(list(out.glob("[0-9]*.png"))) > 10)
    os.kill(run.pid, signal.SIGINT)
    assert run.wait() == 130
    count = len(whole(out))
    assert f"interrupted: {count} of 120 are done; the same command goes on" in run.text
    assert len(list(out.iterdir())) == count


def test_processes_of_torchrun_share_a_folder(trained, many, tmp_path):
    out = tmp_path / "out"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "3"]
    torchrun += ["--standalone", *command("auto", trained / "latest.pth", many, "--out", out)[1:]]
    result = subprocess.run(torchrun, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-2000:]
    assert len(whole(out)) == 120
    assert result.stdout.count("40 translated to b") == 3


def test_alpha_exif_and_sixteen_bits_survive(tool, trained, photos, tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a cup"
    alpha = np.tile(np.arange(71, dtype=np.uint8), (50, 1))
    rgba = np.dstack([photos["coffee"][:50, :71], alpha])
    Image.fromarray(rgba).save(tmp_path / "a.png", exif=exif)
    out = tmp_path / "out"
    run = ["translate", "auto", trained / "latest.pth", tmp_path / "a.png", "--out", out]
    assert tool(*run, "--bits", 16).code == 0
    import cv2

    deep = cv2.imread(str(out / "a.png"), cv2.IMREAD_UNCHANGED)
    assert deep.dtype == np.uint16 and deep.shape == (71, 50, 4)
    assert np.array_equal(deep[..., 3], np.rot90(alpha, -1).astype(np.uint16) * 257)
    assert Image.open(out / "a.png").getexif()[0x010E] == "a cup"
    # More than 8 bits of the network's output are in it.
    assert len(np.unique(deep[..., :3])) > 256
    assert tool(*run, "--overwrite").code == 0
    shallow = cv2.imread(str(out / "a.png"), cv2.IMREAD_UNCHANGED)
    assert np.abs(shallow[..., :3] * 257.0 - deep[..., :3]).max() < 257


def test_tiles_by_hand(tool, trained, photo, tmp_path):
    for name, options in (("a", []), ("b", ["--tile", 16]), ("c", ["--tile", "off"])):
        run = [
            "translate",
            "auto",
            trained / "latest.pth",
            photo,
            "--out",
            tmp_path / f"{name}.png",
        ]
        assert tool(*run, *options).code == 0
    a, b, c = (np.asarray(Image.open(tmp_path / f"{n}.png")).astype(int) for n in "abc")
    assert np.array_equal(a, c) and np.abs(a - b).max() <= 1


def test_outputs_that_cannot_be_written_are_listed(tool, trained, photo, tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = tool(
        "translate", "auto", trained / "latest.pth", photo, "--out", tmp_path / "file" / "x"
    )
    assert result.code == 1 and "Traceback" not in result.err
    assert f"failed: cannot write {tmp_path / 'file' / 'x' / photo.name}" in result.err


def test_a_picture_is_not_written_as_a_video_and_back(tool, trained, photo, sentence, tmp_path):
    run = ["translate", "auto", trained / "latest.pth"]
    sentence(tool(*run, photo, "--out", tmp_path / "x.mp4"), "one is a video, one a picture")
    (tmp_path / "clip.mp4").touch()
    result = tool(*run, tmp_path / "clip.mp4", "--out", tmp_path / "x.png")
    sentence(result, "one is a video, one a picture")


def test_folder_with_videos_that_cannot_be_read(tool, trained, photo, tmp_path):
    (tmp_path / "zero.mp4").touch()
    result = tool("translate", "auto", trained / "latest.pth", tmp_path, "--out", tmp_path / "out")
    assert result.code == 1 and "1 translated" in result.out
    assert result.err.count("failed: ") == 1 and "zero.mp4" in result.err


def test_every_style_on_one_labelled_sheet(tool, trained, photo, sentence, tmp_path):
    for to in "ab":
        assert (
            tool(
                "publish", trained / "latest.pth", tmp_path / "styles" / f"{to}.pth", "--to", to
            ).code
            == 0
        )
    out = tmp_path / "sheet.png"
    result = tool("translate", "auto", tmp_path / "styles", photo, "--out", out)
    assert result.code == 0, result.err
    assert "in 2 styles" in result.out
    sheet = np.asarray(Image.open(out))
    assert sheet.shape[0] > 50 and sheet.shape[1] > 2 * 71
    (tmp_path / "styles" / "broken.pth").write_bytes(b"nothing")
    result = tool("translate", "auto", trained / "latest.pth", photo, "--out", out, "--overwrite",
                  "--checkpoint", tmp_path / "styles")  # fmt: skip
    assert result.code == 1 and "in 3 styles" in result.out and "broken.pth" in result.err
    (tmp_path / "empty").mkdir()
    sentence(tool("translate", "auto", tmp_path / "empty", photo), "no models in")


def test_three_lines_of_python(trained, photo, tmp_path):
    translator = Translator(None, trained / "latest.pth")
    assert translate(translator, photo, tmp_path / "new.png") == [tmp_path / "new.png"]
    assert (
        translate(translator, photo.parent, tmp_path / "out", size=32)[0].parent == tmp_path / "out"
    )
    with pytest.raises(ValueError, match="not an image"):
        Path(tmp_path / "letter.jpg").write_text("Dear diary")
        translate(translator, tmp_path / "letter.jpg", tmp_path / "out")
