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
    (out / f".119.png.{run.pid}.part").write_bytes(b"half of it")  # as a kill may leave it
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


def test_processes_wait_for_each_other_when_one_has_a_broken_picture(trained, many, tmp_path):
    folder = tmp_path / "some"
    folder.mkdir()
    (folder / "000.png").write_text("Dear diary")
    for i in range(1, 60):
        (folder / f"{i:03d}.png").write_bytes((many / f"{i:03d}.png").read_bytes())
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    args = ["auto", trained / "latest.pth", folder, "--out", tmp_path / "out"]
    torchrun += ["--standalone", *command(*args)[1:]]
    result = subprocess.run(torchrun, capture_output=True, text=True, timeout=300)
    assert result.returncode != 0 and "000.png: not an image" in result.stderr
    assert len(whole(tmp_path / "out")) == 59


def test_patterns_keep_their_tree(tool, trained, photo, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "trip" / name).mkdir(parents=True)
        (tmp_path / "trip" / name / "1.png").write_bytes(photo.read_bytes())
    out = tmp_path / "out"
    pattern = tmp_path / "trip" / "**" / "*.png"
    assert tool("translate", "auto", trained / "latest.pth", pattern, "--out", out).code == 0
    assert {p.relative_to(out).as_posix() for p in out.rglob("*.png")} == {"a/1.png", "b/1.png"}


def test_folder_of_all_kinds_does_what_it_can_and_says_the_rest(tool, trained, photo, tmp_path):
    folder = photo.parent
    Image.open(photo).save(folder / f"{photo.stem}.gif")  # its PNG has another's name
    frames = [Image.open(photo).rotate(i * 10) for i in range(3)]
    frames[0].save(folder / "moves.webp", save_all=True, append_images=frames[1:])
    for name in ("song.mp3", "notes.txt", "phone.heic"):
        (folder / name).write_bytes(b"x")
    out = folder / "out"
    run = ["translate", "auto", trained / "latest.pth", folder, "--out", out]
    first = tool(*run)
    assert first.code == 0, first.err
    names = {f"{photo.stem}.png", f"{photo.stem}.gif.png", "moves.webp"}
    assert {path.name for path in out.iterdir()} == names
    assert "1 .heic, 1 .mp3, 1 .txt" in first.err
    assert "is an animation of 3 pictures: the first is done" in first.err
    again = tool(*run)  # What lies in the output is no input.
    assert "3 already there" in again.out and {path.name for path in out.iterdir()} == names


def test_nothing_is_overwritten_by_pipes_either(trained, photo, tmp_path):
    (tmp_path / "new.png").write_bytes(b"mine")
    run = command("auto", trained / "latest.pth", "-", "--out", tmp_path / "new.png")
    result = subprocess.run(run, input=photo.read_bytes(), capture_output=True)
    assert result.returncode == 1 and b"is already there; --overwrite" in result.stderr
    assert (tmp_path / "new.png").read_bytes() == b"mine"


def test_formats_that_are_not_written_are_refused_as_output(
    tool, trained, photo, sentence, tmp_path
):
    run = ["translate", "auto", trained / "latest.pth", photo, "--out", tmp_path / "new.gif"]
    sentence(tool(*run), ".gif is not written here; choose of .jpg")


def test_sides_by_side_show_transparency_on_white(tool, trained, tmp_path):
    soft = np.dstack([np.zeros((20, 30, 3), np.uint8), np.full((20, 30), 20, np.uint8)])
    Image.fromarray(soft).save(tmp_path / "soft.png")
    run = ["translate", "auto", trained / "latest.pth", tmp_path / "soft.png", "--compare"]
    assert tool(*run, "--out", tmp_path / "new.png").code == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "new.png"))[10, 10], [235] * 3)


def test_threads_share_a_translator_in_strips(trained, photos):
    from concurrent.futures import ThreadPoolExecutor

    translator = Translator(None, trained / "latest.pth", device="cpu", tile=16)
    images = [np.ascontiguousarray(photo[:120, :120]) for photo in photos.values()]
    expected = [translator(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        for image, got in zip(expected * 3, pool.map(translator, images * 3), strict=True):
            assert np.array_equal(image, got)


def test_an_interrupted_video_is_done_again(trained, photos, tmp_path, monkeypatch):
    from mmgen_ext.inference import video

    clip, out = tmp_path / "clip.mp4", tmp_path / "out"
    clip.touch()
    translator = Translator(None, trained / "latest.pth", device="cpu")

    def interrupted(translator, source, target, **options):
        target.write_bytes(b"the first half")
        raise video.VideoInterrupted(video.VideoReport(target, 15, 0.6, interrupted=True))

    monkeypatch.setattr(video, "translate_video", interrupted)
    with pytest.raises(KeyboardInterrupt, match=r"15 frames .* 0 of 1 are done; the same command"):
        translate(translator, clip, out)

    def whole_video(translator, source, target, **options):
        target.write_bytes(b"all")
        return video.VideoReport(target, 60, 2.4)

    monkeypatch.setattr(video, "translate_video", whole_video)
    for _ in range(2):
        assert translate(translator, clip, out) == [out / "clip.mp4"]
        assert (out / "clip.mp4").read_bytes() == b"all" and len(list(out.iterdir())) == 1


def test_one_broken_picture_does_not_stop_the_other_sheets(tool, trained, photo, tmp_path):
    (photo.parent / "broken.png").write_text("Dear diary")
    out = tmp_path / "out"
    result = tool("translate", "auto", trained / "latest.pth", photo.parent, "--out", out,
                  "--checkpoint", trained / "iter_4.pth")  # fmt: skip
    assert result.code == 1 and "broken.png: not an image" in result.err
    assert [path.name for path in out.iterdir()] == [photo.name]


@pytest.mark.slow
def test_benchmark_runs(tool, tiny_config):
    result = tool("benchmark", "translate", tiny_config, "--sizes", 32, "--seconds", 0)
    assert result.code == 0, result.err[-800:]
    for row in ("mmgen sample_img2img_model", "Translator bf16", "onnxruntime fp32", "cold start"):
        assert row in result.out
