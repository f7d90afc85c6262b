"""Data sets of one's own: folders and videos, split without leaks, with a config that trains."""

import os
import shutil
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmgen_ext.config import load_config
from mmgen_ext.datasets.images import read_image
from mmgen_ext.prepare import fill, leaf_config
from mmgen_ext.prepare.frames import extract_frames, not_blurred
from mmgen_ext.prepare.leaf_config import check_names, domain_names
from mmgen_ext.prepare.own import Choices, make_own, split
from mmgen_ext.prepare.place import only_one

pillow_heif.register_heif_opener()
FORMATS = ("png", "jpg", "webp", "avif", "heic", "bmp")


def clip(path, images):
    sys.path.insert(0, str(Path(__file__).parents[1] / "inference"))
    from clips import write_clip

    return write_clip(path, images)


@pytest.fixture
def sources(tmp_path, photos):
    """Two folders of 12 pieces in all formats, two of each name, and a note that is no picture."""
    places = [(y, x) for y in (0, 80, 160) for x in (0, 80, 160, 240)]
    roots = []
    for folder, names in (("old photos", ("astronaut", "coffee")), ("画", ("chelsea", "rocket"))):
        root = tmp_path / "from" / folder
        for i, (y, x) in enumerate(places):
            name = names[i % 2]
            path = root / name / f"{i // 2}.{FORMATS[i % 6]}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(photos[name][y : y + 70, x : x + 60]).save(path)
        roots.append(root)
    (roots[0] / "notes.txt").write_text("x")
    return roots


def make(sources, root, **choices):
    return make_own(sources, root / "mine", root / "mine.py", choices=Choices(**choices))


def files_in(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def contents(folder):
    return {name: (folder / name).read_bytes() for name in files_in(folder)}


def test_every_picture_is_in_one_place_under_its_own_path(sources, tmp_path):
    made = make(sources, tmp_path)
    assert made.counts == dict(trainA=11, trainB=11, testA=1, testB=1)
    assert made.notes == [f"left in {sources[0]}, as no pictures: 1 .txt"]
    for source, letter in zip(sources, "AB", strict=True):
        got = files_in(made.root / f"train{letter}") + files_in(made.root / f"test{letter}")
        expected = [n.replace(".heic", ".jpg") for n in files_in(source) if n != "notes.txt"]
        assert sorted(got) == sorted(expected)
    assert sorted(p.name for p in made.root.iterdir()) == ["testA", "testB", "trainA", "trainB"]
    assert not list(tmp_path.glob(".*"))


def test_a_heic_picture_shows_the_same_as_jpeg(sources, tmp_path):
    made = make(sources, tmp_path)
    source = sources[0] / "astronaut" / "2.heic"
    (target,) = made.root.rglob("astronaut/2.jpg")
    assert np.abs(read_image(source).astype(int) - read_image(target)).mean() < 3


def test_the_seed_chooses_the_test_pictures(sources, tmp_path):
    picks = [
        make(sources, tmp_path / str(i), seed=seed, test=4).root for i, seed in enumerate((0, 0, 1))
    ]
    first, again, other = (files_in(root / "testA") for root in picks)
    assert first == again != other and len(first) == 4


def test_names_that_would_meet_are_kept_apart():
    paths = [Path("a.heic"), Path("a.jp2"), Path("a.jpg"), Path("b/a.heic"), Path("c.HEIC")]
    names = fill._target_names(paths, False)
    assert [n.as_posix() for n in names] == ["a.heic.jpg", "a.jp2.jpg", "a.jpg", "b/a.jpg", "c.jpg"]
    assert fill._target_names([Path("a.gif"), Path("a.png")], True) == [
        Path("a.gif.png"),
        Path("a.png"),
    ]
    paths = [Path("a.jpg"), Path("a.jp2"), Path("a.jp2.jpg")]
    assert len(set(fill._target_names(paths, False))) == 3


def test_pictures_are_resized_and_turned_as_training_sees_them(tmp_path, photos):
    for letter, name in (("a", "coffee"), ("b", "rocket")):
        (tmp_path / letter).mkdir()
        for i in range(3):
            image = Image.fromarray(photos[name][100 * i : 100 * i + 90, :120])
            exif = Image.Exif()
            exif[0x0112] = 6
            image.save(tmp_path / letter / f"{i}.jpg", exif=exif, quality=95)
    make([tmp_path / "a", tmp_path / "b"], tmp_path, size=45)
    for path in (tmp_path / "mine").rglob("*.jpg"):
        assert Image.open(path).size == (45, 60)
    whole = cv2.resize(read_image(tmp_path / "a" / "1.jpg"), (45, 60), interpolation=cv2.INTER_AREA)
    (small,) = (tmp_path / "mine").glob("*A/1.jpg")
    assert np.abs(whole.astype(int) - read_image(small)).mean() < 4


def test_links_are_made_where_files_stay_as_they_are(sources, tmp_path, monkeypatch):
    made = make(sources, tmp_path, link=True)
    (target,) = made.root.rglob("astronaut/0.png")
    assert target.samefile(sources[0] / "astronaut" / "0.png")

    def no_links(*args):
        raise OSError("another device")

    monkeypatch.setattr(os, "link", no_links)
    made = make(sources, tmp_path / "other", link=True)
    assert made.notes[-1].startswith("copied 10 pictures of B: no hard links")
    assert made.counts["trainA"] == 11


def test_pictures_that_are_links_are_linked_to_themselves(sources, tmp_path):
    if os.name == "nt":
        pytest.skip("links need rights there")
    folders = []
    for source in sources:
        folders.append(tmp_path / "links" / source.name)
        folders[-1].mkdir(parents=True)
        for i, path in enumerate(source.rglob("*.png")):
            (folders[-1] / f"{i}.png").symlink_to(os.path.relpath(path, folders[-1]))
    made = make(folders, tmp_path / "far" / "away", link=True)
    assert sum(made.counts.values()) == 4
    (target,) = made.root.rglob("*A/0.png")
    assert not target.is_symlink() and target.samefile(folders[0] / "0.png")


def test_all_broken_files_are_named_and_left_out_only_if_asked(sources, tmp_path):
    (sources[0] / "text.jpg").write_text("hello")
    (sources[1] / "void.png").touch()
    with pytest.raises(ValueError, match="2 broken images") as error:
        make(sources, tmp_path)
    for words in ("text.jpg: not an image", "void.png: the file is empty", "--skip-broken"):
        assert words in str(error.value)
    assert not (tmp_path / "mine").exists() and not (tmp_path / "mine.py").exists()
    made = make(sources, tmp_path, skip_broken=True)
    assert made.counts["trainA"] == 11 and any("text.jpg" in note for note in made.notes)


@given(st.lists(st.integers(0, 12), min_size=2, max_size=60), st.data())
def test_what_looks_the_same_stays_on_one_side(groups, data):
    test = data.draw(st.one_of(st.floats(0.01, 0.9), st.integers(1, len(groups) - 1)))
    wanted = max(1, round(test * len(groups))) if test < 1 else test
    if wanted >= len(groups):
        return
    chosen = split(groups, test, np.random.default_rng(0))
    if len(set(groups)) == 1:
        assert not chosen
        return
    assert 0 < len(chosen) < len(groups)
    assert not {groups[i] for i in chosen} & {g for i, g in enumerate(groups) if i not in chosen}
    smallest = min(groups.count(group) for group in groups)
    assert len(chosen) <= max(wanted, smallest)


def test_versions_of_one_photo_are_not_split(tmp_path, photos):
    for letter, name in (("a", "coffee"), ("b", "astronaut")):
        for y in range(0, 300, 60):
            image = Image.fromarray(photos[name][y : y + 60, 200:300])
            path = tmp_path / letter / f"{y}"
            path.mkdir(parents=True)
            for quality in (95, 50, 20):
                image.save(path / f"{quality}.jpg", quality=quality)
    made = make([tmp_path / "a", tmp_path / "b"], tmp_path, test=4)
    assert made.counts == dict(trainA=12, trainB=12, testA=3, testB=3)
    assert len({Path(name).parent for name in files_in(made.root / "testA")}) == 1


def test_nothing_is_replaced_unless_asked_and_sources_never(sources, tmp_path):
    first = make(sources, tmp_path)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=r"mine\.py is there already; --overwrite"):
        make(sources, tmp_path)
    (tmp_path / "mine.py").unlink()
    with pytest.raises(ValueError, match="mine is there already; --overwrite"):
        make(sources, tmp_path)
    make(sources, tmp_path, overwrite=True)
    assert contents(tmp_path) == before and first.root.is_dir()
    for out in (sources[0], sources[0] / "inside", sources[0].parent):
        with pytest.raises(ValueError, match="lie one in the other"):
            make_own(sources, out, tmp_path / "x.py", choices=Choices(overwrite=True))
    with pytest.raises(ValueError, match="the same or one lies in the other"):
        make_own([sources[0], sources[0] / "coffee"], tmp_path / "x", tmp_path / "x.py")


def test_who_waits_for_another_command_says_so_and_for_what(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("mmgen_ext.fetch._PATIENCE", 0.1)

    def second():
        with only_one(tmp_path / "mine"):
            pass

    thread = threading.Thread(target=second)
    with only_one(tmp_path / "mine"):
        assert not capsys.readouterr().err
        thread.start()
        thread.join(1)
        assert thread.is_alive()
    thread.join(5)
    assert not thread.is_alive()
    assert capsys.readouterr().err == f"waiting: another command is making {tmp_path / 'mine'}\n"


def test_what_is_not_there_or_too_little_is_explained(sources, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder or video"):
        make([tmp_path / "none", sources[1]], tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no images in .*empty \(looked for .jpg"):
        make([tmp_path / "empty", sources[1]], tmp_path)
    (tmp_path / "empty" / "film.mp4").touch()
    with pytest.raises(FileNotFoundError, match="name a video itself, not its folder"):
        make([tmp_path / "empty", sources[1]], tmp_path)
    with pytest.raises(ValueError, match="neither a folder nor a video"):
        make([sources[0] / "notes.txt", sources[1]], tmp_path)
    with pytest.raises(ValueError, match="--test 12 of 12 pictures would leave none"):
        make(sources, tmp_path, test=12)
    assert not (tmp_path / "mine").exists()


def test_a_missing_library_for_heic_is_named(sources, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ValueError, match=r'need pillow-heif; .* pip install -e "\.\[heic\]"'):
        make(sources, tmp_path)


def test_domains_have_usable_names(tmp_path):
    for stem in ("2019 winter", "class", "type", "画", "a.b", "train"):
        (tmp_path / stem).mkdir()
    names = domain_names([tmp_path / "2019 winter", tmp_path / "class"])
    assert names == ["d_2019_winter", "class_"]
    assert domain_names([tmp_path / "type", tmp_path / "画"]) == ["type_", "画"]
    assert domain_names([tmp_path / "a.b", tmp_path / "train"]) == ["a_b", "train_"]
    assert domain_names([Path("x/old"), Path("y/old")]) == ["x_old", "y_old"]
    assert check_names(["a", "b"]) == ["a", "b"]
    with pytest.raises(ValueError, match=r"--names '2 b' cannot name.*for example 'd_2_b'"):
        check_names(["a", "2 b"])
    with pytest.raises(ValueError, match="two different ones"):
        check_names(["a", "a"])


def test_the_config_is_short_and_trains_from_anywhere(sources, tmp_path, tool, monkeypatch):
    config = tmp_path / "configs of mine" / "it's.py"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    result = tool(
        "prepare_data", "own", *sources, "sets/it's", "--config", config, "--names", "old", "type_"
    )
    assert result.code == 0, result.err
    assert "sets/it's: trainA 11, trainB 11, testA 1, testB 1" in result.out
    assert len(config.read_text("utf-8").splitlines()) <= 20
    monkeypatch.chdir(tmp_path / "elsewhere")
    cfg = load_config(config)
    assert cfg.domains == ["old", "type_"] and cfg.model.default_domain == "type_"
    small = ["model.generator.base_channels=4", "model.generator.num_blocks=1",
             "model.discriminator.base_channels=4", "model.discriminator.num_conv=2",
             "train_pipeline.1.size=40", "data.train.pipeline.1.size=40",
             "data.train.pipeline.2.size=32", "data.workers_per_gpu=0", "evaluation=None",
             "gallery=None", "total_iters=2"]  # fmt: skip
    small.remove("train_pipeline.1.size=40")
    result = tool("train", config, "--dry-run", "--cfg-options", *small)
    assert result.code == 0, result.err
    assert "old: 11 images" in result.out
    result = tool("train", config, "--work-dir", tmp_path / "run", "--cfg-options", *small)
    assert result.code == 0, result.err
    assert (tmp_path / "run" / "latest.pth").is_file()


def test_within_the_repository_a_config_names_its_neighbours(tmp_path, monkeypatch):
    monkeypatch.setattr(leaf_config, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "configs" / "cyclegan" / "mine.py"
    leaf_config.write_leaf(config, ["a", "b"], Path("data/mine"))
    text = config.read_text("utf-8")
    for base in ("model_default", "data", "schedule_default", "runtime"):
        assert f'    "../_base_/{base}.py",\n' in text
    assert 'data_root = "data/mine"' in text
    monkeypatch.chdir(tmp_path / "configs")
    leaf_config.write_leaf(config, ["a", "b"], tmp_path / "data" / "mine")
    assert f'data_root = "{(tmp_path / "data" / "mine").as_posix()}"' in config.read_text("utf-8")


def test_a_small_config_is_that_for_a_cpu(sources, tmp_path, tool):
    config = tmp_path / "mine.py"
    run = ["prepare_data", "own", *sources, tmp_path / "mine", "--config", config, "--small"]
    assert tool(*run, "--names", "old", "new").code == 0
    text = config.read_text("utf-8")
    assert text.startswith('"""Old to new and back, small enough for a CPU."""')
    cfg = load_config(config)
    assert cfg.total_iters == 4000 and cfg.model.generator.base_channels == 32
    assert cfg.data.train.pipeline[2].size == 64 and cfg.data.test.pipeline[1].size == 128
    assert cfg.domains == cfg.model.domains == ["old", "new"]
    assert cfg.model.default_domain == "new" and cfg.data_root == (tmp_path / "mine").as_posix()


@pytest.fixture
def film(tmp_path, photos):
    """48 frames: three views shown 10 times each, 8 blurred ones, and 10 of the first again."""
    views = [photos[n][:200, :320, ::-1] for n in ("coffee", "chelsea", "astronaut")]
    images = [views[i // 10] for i in range(30)]
    images += [cv2.GaussianBlur(views[0][::-1], (0, 0), 9)] * 8 + [views[0]] * 10
    return clip(tmp_path / "film 画.mp4", [np.ascontiguousarray(image) for image in images])


def test_blurred_and_repeated_frames_are_left_out(film, tmp_path):
    (tmp_path / "frames").mkdir()
    looks, note = extract_frames(film, tmp_path / "frames", 2)
    assert "48 frames, 24 looked at; 4 blurred and 17 near-duplicates left out, 3 kept" in note
    assert sorted(tmp_path.glob("frames/*")) == sorted(looks)
    numbers = [int(path.stem[-6:]) for path in looks]
    assert sorted(0 if number >= 38 else number // 10 for number in numbers) == [0, 1, 2]


def test_sharpness_is_judged_by_the_clip_itself():
    assert not_blurred([100, 90, 110, 20]) == [2, 0, 1]
    assert not_blurred([1.0, 0.9, 1.1]) == [2, 0, 1]
    assert not_blurred([]) == []


def test_two_videos_become_a_set(film, tmp_path, photos):
    other = [photos["coffee"][y : y + 120, x : x + 200, ::-1] for y in (0, 120) for x in (0, 200)]
    second = clip(tmp_path / "second.mp4", [np.ascontiguousarray(i) for i in other])
    made = make_own(
        [film, second], tmp_path / "mine", tmp_path / "mine.py", choices=Choices(every=1)
    )
    assert made.counts == dict(trainA=2, trainB=3, testA=1, testB=1)
    assert load_config(tmp_path / "mine.py").domains == ["film_画", "second"]
    assert all(path.suffix == ".jpg" for path in made.root.rglob("*.*"))
    shutil.rmtree(made.root)
    with pytest.raises(ValueError, match="1 usable picture;"):
        make_own([film, second], tmp_path / "x", tmp_path / "x.py", choices=Choices(every=100))
