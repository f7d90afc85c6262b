"""tools/evaluate.py on a real checkpoint: figures, protocol, weights, and wrong inputs."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from mmgen_ext.config import load_config
from mmgen_ext.datasets.images import list_images
from mmgen_ext.evaluation import metrics
from mmgen_ext.evaluation.evaluate import Stopped, evaluate
from mmgen_ext.evaluation.features import Extractor
from mmgen_ext.evaluation.image_sets import Preparation, find_images
from mmgen_ext.evaluation.report import notes_on_few
from mmgen_ext.inference.translator import Translator


@pytest.fixture(scope="module")
def figures(tool, averaged):
    """What the tool wrote of both directions, and said."""
    result = tool("evaluate", "auto", averaged / "latest.pth")
    assert result.code == 0, result.err
    assert "note: of 9 pictures the figures say little: other ones would change KID" in result.err
    return json.loads((averaged / "metrics.json").read_text("utf-8")), result.out


def test_a_hundred_pictures_need_no_warning():
    protocol = dict(num_source=100, num_reference=120)
    result = dict(protocol=protocol, kid_std=0.0123)
    assert notes_on_few(dict(a=result)) == []
    protocol["num_reference"] = 99
    (note,) = notes_on_few(dict(a=result))
    assert "of 99 pictures" in note and "by about 0.012" in note


def test_both_directions_with_bounds_and_protocol(figures, averaged):
    content, out = figures
    assert set(content["directions"]) == {"a", "b"}
    for to, other, counts in (("a", "b", (9, 10)), ("b", "a", (10, 9))):
        found = content["directions"][to]
        assert (found["source"], found["target"]) == (other, to)
        for row in (found, found["untranslated"], found["real"]):
            assert {"kid", "kid_std", "kid_all", "fid"} <= set(row)
        protocol = found["protocol"]
        assert (protocol["num_source"], protocol["num_reference"]) == counts
        assert protocol["features"] == "lite0" and protocol["resize"] == "as they are"
        assert protocol["weights"] == "ema" and protocol["iteration"] == 6
        assert protocol["reference"] == "test" and protocol["kid_subset_size"] == 4
        assert protocol["checkpoint"] == str(averaged / "latest.pth")
    for words in ("b to a", "untranslated", "real against real", "ema weights after 6 iterations"):
        assert words in out


def test_figures_are_those_of_pictures_measured_by_hand(tool, averaged, crops, tmp_path):
    """Each source once, sized, translated by the Translator, compared with the other side."""
    translator = Translator(None, averaged / "latest.pth")
    sized = [Preparation(64).read(path) for path in list_images(crops / "testA")]
    assert sized[0].shape == (64, 64, 3)
    fakes = [translator(image, "b") for image in sized]
    extract = Extractor("lite0")
    reference = extract(Preparation(64).read_all(list_images(crops / "testB")))
    out = tmp_path / "m.json"
    run = ["evaluate", "auto", averaged / "latest.pth", "--to", "b", "--size", 64, "--out", out]
    assert tool(*run).code == 0
    found = json.loads(out.read_text("utf-8"))["directions"]["b"]
    assert found["protocol"]["resize"] == "64 x 64"
    assert found["kid"] == pytest.approx(metrics.kid(extract(fakes), reference)["kid"], rel=1e-4)
    assert found["fid"] == pytest.approx(metrics.fid(extract(fakes), reference)["fid"], rel=1e-4)
    plain = metrics.kid(extract(sized), reference)["kid"]
    assert found["untranslated"]["kid"] == pytest.approx(plain, rel=1e-4)
    ssim = np.mean([metrics.ssim(a, b) for a, b in zip(sized, fakes, strict=True)])
    assert found["ssim"] == pytest.approx(ssim, rel=1e-6)
    cycle = [metrics.cycle_error(a, translator(b, "a")) for a, b in zip(sized, fakes, strict=True)]
    assert found["cycle_error"] == pytest.approx(np.mean(cycle), rel=1e-6)


def test_raw_weights_are_others_than_averaged_ones(tool, figures, averaged, tmp_path):
    out = tmp_path / "new folder" / "raw.json"
    run = ["evaluate", "auto", averaged / "latest.pth", "--to", "b", "--weights", "raw"]
    result = tool(*run, "--out", out, "--size", 40)
    assert result.code == 0, result.err
    found = json.loads(out.read_text("utf-8"))["directions"]
    assert list(found) == ["b"] and found["b"]["protocol"]["weights"] == "raw"
    assert found["b"]["protocol"]["resize"] == "40 x 40"
    raw, ema = (Translator(None, averaged / "latest.pth", weights=w) for w in ("raw", "auto"))
    image = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    assert not np.array_equal(raw(image, "b"), ema(image, "b"))


def test_asking_for_averages_that_are_not_there(tool, trained, sentence):
    result = tool("evaluate", "auto", trained / "latest.pth", "--weights", "ema")
    sentence(result, "holds no averaged weights", "--weights raw")


def test_the_reference_can_be_the_training_pictures(tool, averaged, tmp_path):
    run = ["evaluate", "auto", averaged / "latest.pth", "--to", "b", "--reference", "train"]
    assert tool(*run, "--out", tmp_path / "m.json").code == 0
    found = json.loads((tmp_path / "m.json").read_text("utf-8"))["directions"]["b"]
    assert found["protocol"]["num_reference"] == 4 and found["protocol"]["reference"] == "train"
    assert "real" not in found  # two pictures a half are too few


@pytest.mark.parametrize("count, words", [(3, "'b' has 3 pictures"), (0, "'b' has 0 pictures")])
def test_three_pictures_or_none_are_too_few(
    tool, averaged, crops, tmp_path, sentence, count, words
):
    root = tmp_path / "few"
    for folder in ("testA", "testB"):
        shutil.copytree(crops / folder, root / folder)
    for path in list_images(root / "testB")[count:]:
        path.unlink()
    result = tool("evaluate", "auto", averaged / "latest.pth", "--data-root", root)
    sentence(result, f"'b' has {count} pictures", "at least 4", "reference: test or train")


def test_no_test_pictures_at_all(tool, averaged, tmp_path, sentence):
    result = tool("evaluate", "auto", averaged / "latest.pth", "--data-root", tmp_path)
    sentence(result, "no test pictures", "--data-root")


def test_a_broken_picture_is_named(tool, averaged, crops, tmp_path, sentence):
    root = shutil.copytree(crops, tmp_path / "set")
    (root / "testA" / "5 é.png").write_text("no picture")
    result = tool("evaluate", "auto", averaged / "latest.pth", "--data-root", root)
    sentence(result, "cannot read", "5 é.png")


def test_unknown_domain_and_file(tool, averaged, sentence):
    sentence(tool("evaluate", "auto", averaged / "latest.pth", "--to", "zebra"), "zebra", "a, b")
    sentence(tool("evaluate", "auto", averaged / "none.pth"), "no checkpoint")


def test_one_direction_of_a_published_file(tool, averaged, crops, tmp_path):
    """It has no way back: no cycle error, and nothing to evaluate to the other domain."""
    small = tmp_path / "small.safetensors"
    assert tool("publish", averaged / "latest.pth", small, "--to", "b").code == 0
    (small,) = tmp_path.glob("small-*.safetensors")
    result = tool("evaluate", "auto", small, "--data-root", crops)
    assert result.code == 0, result.err
    found = json.loads((tmp_path / "metrics.json").read_text("utf-8"))["directions"]
    assert list(found) == ["b"] and "cycle_error" not in found["b"]


def test_processes_share_the_work_and_get_the_same_figures(averaged, crops):
    cfg = load_config(averaged / "averaged.py")
    translator = Translator(None, averaged / "latest.pth")
    images, preparation = find_images(cfg, "test"), Preparation(48)
    args = (translator, images, images, "b", Extractor("lite0"), preparation)
    alone = evaluate(*args)
    boxes = []
    evaluate(*args, share=(1, 2), gather=lambda part: boxes.append(part) or [part])
    shared = evaluate(*args, share=(0, 2), gather=lambda part: [part, boxes.pop(0)])
    for name in ("kid", "kid_all", "fid", "ssim", "cycle_error"):
        assert shared[name] == pytest.approx(alone[name], rel=1e-4), name


def test_an_evaluation_stops_between_pictures(averaged):
    cfg = load_config(averaged / "averaged.py")
    translator = Translator(None, averaged / "latest.pth")
    images = find_images(cfg, "test")
    asked = []
    with pytest.raises(Stopped):
        evaluate(
            translator, images, images, "b", Extractor("lite0"), Preparation(48),
            stop=lambda: asked.append(1) or len(asked) == 3,
        )  # fmt: skip
    assert len(asked) == 3


def test_sizes_of_ours_and_mmgens_test_pipelines(tiny_config, tmp_path, photos):
    cfg = load_config(tiny_config)
    assert str(Preparation.of(cfg)) == "as they are"  # its test pipeline does not resize
    cfg.test_pipeline = None
    assert str(Preparation.of(cfg)) == "256 x 256"
    cfg.data.test = dict(pipeline=[dict(type="mmgen_ext.Resize", size=100, keep_ratio=True)])
    assert str(Preparation.of(cfg)) == "short side 100"
    cfg.data.test = dict(pipeline=[dict(type="Resize", scale=(64, 64))])
    assert str(Preparation.of(cfg)) == "64 x 64"
    path = tmp_path / "photo.png"
    Image.fromarray(photos["coffee"]).save(path)  # 600 x 400
    shapes = [Preparation(100, keep).read(path).shape for keep in (True, False)]
    assert shapes == [(100, 150, 3), (100, 100, 3)]
    assert Preparation(None).read(path).shape == (400, 600, 3)


def test_an_error_of_one_process_is_raised_on_all(averaged):
    cfg = load_config(averaged / "averaged.py")
    translator = Translator(None, averaged / "latest.pth")
    images = find_images(cfg, "test")
    args = (translator, images, images, "b", Extractor("lite0"), Preparation(48))
    theirs = (ValueError("cannot read 5.png"), None, [])
    with pytest.raises(ValueError, match=r"cannot read 5\.png"):
        evaluate(*args, share=(0, 2), gather=lambda part: [part, theirs])


def test_published_and_exported_files_say_what_they_hold(tool, averaged, crops, tmp_path):
    published, exported = tmp_path / "p.pth", tmp_path / "e.onnx"
    assert tool("publish", averaged / "latest.pth", published, "--to", "a").code == 0
    assert tool("export", "auto", averaged / "latest.pth", exported, "--to", "a").code == 0
    (published,) = tmp_path.glob("p-*.pth")
    found = []
    for config, file in (("auto", published), (averaged / "averaged.py", exported)):
        run = ["evaluate", config, file, "--data-root", crops, "--size", 48]
        assert tool(*run).code == 0
        found.append(json.loads((tmp_path / "metrics.json").read_text("utf-8"))["directions"]["a"])
    protocols = [each["protocol"] for each in found]
    assert [p["weights"] for p in protocols] == ["ema", "exported"]
    assert protocols[0]["iteration"] == 6
    # The config says which folder is which, also for a file that only knows its direction.
    assert [p["domains"] for p in protocols] == [["a", "b"]] * 2
    assert found[0]["kid"] == pytest.approx(found[1]["kid"], abs=2e-3)


def test_folders_can_be_named(tool, averaged, crops, tmp_path, sentence):
    exported = tmp_path / "e.onnx"
    assert tool("export", "auto", averaged / "latest.pth", exported, "--to", "a").code == 0
    run = ["evaluate", "auto", exported, "--data-root", crops, "--size", 48]
    result = tool(*run, "--domains", "a", "b")
    assert result.code == 0 and "testA is a, testB b" in result.out
    assert "testA is b, testB a" in tool(*run).out  # what the file alone says
    sentence(tool(*run, "--weights", "ema"), "one kind of weights", "--weights auto")
