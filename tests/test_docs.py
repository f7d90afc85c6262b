"""The documentation: its commands work, its links lead somewhere, both languages say the same."""

import importlib.util
import inspect
import re
import shlex
import shutil
import sys
from pathlib import Path
from importlib.metadata import distribution

import numpy as np
import pytest
import torch
import yaml
from mmcv import Config
from mmcv.runner import HOOKS
from PIL import Image

from mmgen_ext.checkpoint import read_checkpoint
from mmgen_ext.config import load_config, plain_data
from mmgen_ext.registry import DATASETS, MODULES
from mmgen_ext.training.hooks.checkpoint import SaveHook

sys.path.insert(0, str(Path(__file__).parent))
import pages
from pages import PAGES, ROOT

# Written elsewhere at the moment: nothing is said of them until they are there.
PENDING = {
    *(f"docs/{name}{language}.md" for name in ("data", "webapp") for language in ("", "_zh-CN")),
    *(f"demo/0{name}.ipynb" for name in ("1_install_check", "2_translate", "3_train_your_own")),
    "demo/04_many_styles.ipynb",
    "tools/prepare_data.py",
}


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def is_pending(path):
    return name_of(path) in PENDING


OWN = [page for page in PAGES if not is_pending(page)]
EACH = pytest.mark.parametrize("page", OWN, ids=name_of)
PAIRS = [pair for pair in pages.pairs() if not is_pending(pair[0])]
BOTH = pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: name_of(pair[0]))
CONFIGS_PAGES = [ROOT / "docs" / name for name in ("configs.md", "configs_zh-CN.md")]


# Both languages -----------------------------------------------------------------------------------


@BOTH
def test_both_languages_have_the_same_commands_code_links_and_tables(pair):
    english, chinese = map(pages.read, pair)
    assert list(pages.commands(english)) == list(pages.commands(chinese))
    assert pages.code(english) == pages.code(chinese)
    targets = [
        [path.replace("_zh-CN", "") for path, _ in pages.links(text)] for text in (english, chinese)
    ]
    # Sentences turn around in translation, and with them the links in one.
    assert sorted(targets[0]) == sorted(targets[1])
    tables = [re.findall(r"^ *\|.*$", text, re.M) for text in (english, chinese)]
    assert [row.count("|") for row in tables[0]] == [row.count("|") for row in tables[1]]


@BOTH
def test_both_languages_name_the_same_keys_and_options(pair):
    spans = [set(re.findall(r"`([^`\n]+)`", pages.read(page))) for page in pair]
    keys = [{s for s in found if re.fullmatch(r"[a-z_]+(\.[a-z_]+)*|--[a-z-]+", s)} for found in spans]
    assert keys[0] == keys[1]


@BOTH
def test_pages_of_both_languages_lead_to_each_other(pair):
    for page, other in (pair, pair[::-1]):
        assert f"]({other.name})" in "\n".join(pages.read(page).splitlines()[:4])


# Links --------------------------------------------------------------------------------------------


@EACH
def test_links_and_pictures_lead_somewhere(page):
    for path, fragment in pages.links(pages.read(page)):
        target = (page.parent / path).resolve() if path else page
        if ROOT in target.parents and is_pending(target):
            continue
        assert target.exists(), path
        if fragment:
            assert fragment in pages.headings(pages.read(target)), f"{path}#{fragment}"


# Commands -----------------------------------------------------------------------------------------

SMALL = "model.generator.base_channels=4 model.generator.num_blocks=1 data.workers_per_gpu=0"
SMALL += " model.discriminator.base_channels=4 log_config.interval=1 report.min_seconds=1000"
SMALL_DATA = " data.train.pipeline.1.size=36 data.train.pipeline.2.size=32"
SMALL_DATA += " data.test.pipeline.1.size=32"
PLACES = {
    r"\[[^]]*\] ?": "",
    r"\bCONFIG\|auto\b": "auto",
    r"\bPATH/": "",
    r"\bCONFIG\b": "configs/cyclegan/mine.py",
    r"\bCHECKPOINT\b": "work_dirs/mine/latest.pth",
    r"\bINPUT\.\.\.|\bPICTURES\b": "my_sketches",
    r"\bNAME\b": "mine",
    r"\bA_DIR B_DIR OUT\b": "sketches photos data/own",
}


def write_picture(path, image, size=40):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image[:size, :size]).save(path)


def write_film(path, image):
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=5)
        stream.width = stream.height = 64
        for shift in range(3):
            frame = np.ascontiguousarray(image[shift : shift + 64, :64])
            film.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        film.mux(stream.encode())


def their_generator(width=4, blocks=1):
    """Weights under the original authors' names: layers numbered through in one sequence."""
    shapes = {1: (width, 3, 7), 4: (2 * width, width, 3), 7: (4 * width, 2 * width, 3)}
    end = 10 + blocks
    for block in range(10, end):
        shapes |= {f"{block}.conv_block.{i}": (4 * width, 4 * width, 3) for i in (1, 5)}
    shapes |= {end: (4 * width, 2 * width, 3), end + 3: (2 * width, width, 3)}
    shapes |= {end + 7: (3, width, 7)}
    state = {}
    for number, (a, b, k) in shapes.items():
        out = b if number in (end, end + 3) else a
        state[f"model.{number}.weight"] = torch.randn(a, b, k, k) / 10
        state[f"model.{number}.bias"] = torch.zeros(out)
    return state


def tutorial_config():
    """mmgen's own config with the tutorial's changes."""
    configs = distribution("mmgen").locate_file("mmgen/.mim/configs/cyclegan")
    text = (configs / "cyclegan_lsgan_resnet_in_facades_b1x1_80k.py").read_text("utf-8")
    text = text.replace("domain_a = 'mask'", "domain_a = 'monet'")
    return text.replace("./data/unpaired_facades", "./data/monet2photo")


@pytest.fixture(scope="module")
def place(tmp_path_factory, photos):
    """A folder with all that the commands name, as a reader would have it."""
    root = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "configs", root / "configs", ignore=lambda *_: ["__pycache__"])
    images = iter(
        photo[y:, x:] for y in range(0, 200, 40) for x in range(0, 300, 60) for photo in photos.values()
    )
    for folder in ("trainA", "trainB", "testA", "testB"):
        for i in range(5):
            write_picture(root / "data" / "mine" / folder / f"{i}.png", next(images))
    for name in ("monet2photo", "horse2zebra"):
        shutil.copytree(root / "data" / "mine", root / "data" / name)
    for folder in ("my_sketches", "photos", "sketches", "holidays"):
        for i in range(3):
            write_picture(root / folder / f"{i}.png", next(images), 64)
    for name in ("one.jpg", "photo.jpg", "horse.jpg", "old.png"):
        write_picture(root / name, next(images), 64)
    write_film(root / "film.mp4", photos["coffee"])
    (mine,) = (c for c in pages.code(pages.read(ROOT / "README.md")) if '"data/mine"' in c)
    (root / "configs" / "cyclegan" / "mine.py").write_text(mine, "utf-8")
    (root / "my_tutorial_config.py").write_text(tutorial_config(), "utf-8")
    original = root / "checkpoints" / "horse2zebra" / "latest_net_G_A.pth"
    original.parent.mkdir(parents=True)
    torch.save(their_generator(), original)
    return root


@pytest.fixture(scope="module")
def done():
    """What was executed already: other pages and the other language say it again."""
    return {}


def small(words):
    """The words of a command, and what makes hours of it seconds."""
    name = words[0]
    if name == "train":
        ours = "tutorial" not in words[1]
        given = words.index("--cfg-options") if "--cfg-options" in words else len(words)
        extra = (SMALL + (SMALL_DATA if ours else " evaluation=None")).split()
        own = words[given + 1 :]
        return [*words[:given], "--cfg-options", *extra, *own, "total_iters=2"]
    extra = {
        "benchmark translate": "--sizes 32 --seconds 0.01 --cfg-options " + SMALL,
        "benchmark video": "--frames 2 --seconds 0.01 --cfg-options " + SMALL,
        "prepare_data own": "--config configs/cyclegan/mine.py --overwrite --test 4",
    }
    return [*words, *extra.get(" ".join(words[:2]), "").split()]


def execute(command, tool, root):
    """Execute a command of a tool in the folder `root`."""
    text = command.text
    for placeholder, value in PLACES.items():
        text = re.sub(placeholder, value, text)
    python, script, *words = shlex.split(text)
    assert python == "python" and script.startswith("tools/"), f"neither executed nor marked: {text}"
    if script in PENDING and not (ROOT / script).exists():
        return
    name = script.removeprefix("tools/").removesuffix(".py")
    words = small([name, *words])
    result = tool(*words)
    assert result.code == 0, f"{command.text}\n{' '.join(words)}\n{result.err[-900:]}"


@pytest.fixture(scope="module")
def ready(place, tool):
    """The folder after a training of one's own and one of the tutorial."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for config, folder in (("configs/cyclegan/mine.py", "mine"), ("my_tutorial_config.py", "t")):
            words = small(["train", config, "--work-dir", f"work_dirs/{folder}"])
            result = tool(*words)
            assert result.code == 0, result.err[-900:]
    shutil.copy(place / "work_dirs" / "t" / "latest.pth", place / "iter_80000.pth")
    return place


def fetches(command):
    """What needs a network by its nature, and is said so where it first stands."""
    return command.text.startswith(("python tools/bootstrap.py", "pip install"))


@EACH
def test_every_command_is_executed_or_says_what_it_needs(page, ready, tool, done, monkeypatch):
    monkeypatch.chdir(ready)
    text = pages.read(page)
    for command in [*pages.commands(text), *pages.inline_commands(text)]:
        if command.needs or fetches(command) or command.text in done:
            continue
        execute(command, tool, ready)
        done[command.text] = True


@EACH
def test_commands_that_need_more_are_spelled_right(page, monkeypatch):
    for command in pages.commands(pages.read(page)):
        found = re.search(r"tools[/\\](\w+)\.py(.*)", command.text)
        if not (command.needs and found) or found[1] in ("bootstrap", "prepare_data"):
            continue
        words = re.sub(r"\[[^]]*\] ?", "", found[2]).replace("\\", "/")
        spec = importlib.util.spec_from_file_location(found[1], ROOT / "tools" / f"{found[1]}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", [f"{found[1]}.py", *shlex.split(words)])
        module.parse_args()


@EACH
def test_code_runs(page, ready, monkeypatch, done):
    monkeypatch.chdir(ready)
    for body in pages.code(pages.read(page)):
        compile(body, name_of(page), "exec")
        if "mmgen_ext.apis" in body and body not in done:
            exec(body, {})
            done[body] = True


# Keys ---------------------------------------------------------------------------------------------


def keys(value, prefix=""):
    """Dotted keys of a config; of lists of parts their types and arguments."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from keys(item, f"{prefix}.{key}" if prefix else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        yield prefix
        for part in value:
            yield part["type"]
            yield from (key for key in part if key != "type")
    else:
        yield prefix


@pytest.mark.parametrize("page", CONFIGS_PAGES, ids=name_of)
def test_every_key_of_the_base_config_is_explained(page):
    name = "cyclegan_lsgan_resnet_in_b1x1_80k_monet2photo.py"
    cfg = plain_data(load_config(ROOT / "configs" / "cyclegan" / name))
    text = pages.read(page)
    missing = [key for key in keys(cfg) if f"`{key}`" not in text]
    assert not missing


@pytest.mark.parametrize("page", CONFIGS_PAGES, ids=name_of)
def test_every_argument_of_our_parts_is_named(page):
    text = pages.read(page)
    hooks = [HOOKS.get(f"{n}Hook") for n in ("Gallery", "Evaluation", "Health", "Report")]
    parts = [*hooks, HOOKS.get("GeneratorEMAHook"), SaveHook, DATASETS.get("UnpairedImageDataset")]
    parts += [MODULES.get(n) for n in ("ResnetGenerator", "PatchDiscriminator", "GANLoss")]
    for part in parts:
        for argument in list(inspect.signature(part.__init__).parameters)[1:]:
            if argument not in ("by_epoch", "out_dir"):  # mmcv's, without effect
                assert re.search(rf"[`.]{argument}[`=]", text), f"{part.__name__}: {argument}"


@pytest.mark.parametrize("page", ["migration.md", "migration_zh-CN.md"])
def test_every_key_of_mmgens_config_has_its_place_here(page, tmp_path):
    text = pages.read(ROOT / "docs" / page)
    path = tmp_path / "facades.py"
    path.write_text(tutorial_config(), "utf-8")
    cfg = load_config(path)
    skipped = {"type", "keys", "img_norm_cfg", "test_cfg", "domain_a", "train_dataset_type"}
    for part in (cfg, cfg.model, cfg.data, cfg.data.train, cfg.lr_config, cfg.checkpoint_config):
        for key in set(part) - skipped:
            if not key.startswith(("train_", "val_", "test_", "_", "data_root")):
                assert re.search(rf"\b{key}\b", text), key


@pytest.mark.parametrize("page", ["README.md", "README_zh-CN.md"])
def test_every_weight_of_the_table_has_a_card(page):
    text = pages.read(ROOT / "configs" / "cyclegan" / page)
    table = yaml.safe_load((ROOT / "configs" / "cyclegan" / "metafile.yml").read_text("utf-8"))
    for entry in table["Models"]:
        assert f"| `{entry['Name']}` |" in text
    for config in (ROOT / "configs" / "cyclegan").glob("cyclegan_*.py"):
        assert f"| `{config.name}` |" in text
