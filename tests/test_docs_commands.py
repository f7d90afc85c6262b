"""Every command of the documentation is executed, or says what it needs that a test has not."""

import importlib.util
import re
import shlex
import shutil
import sys

import numpy as np
import pages
import pytest
import torch
from pages import PAGES, ROOT, name_of, tutorial_config
from PIL import Image

EACH = pytest.mark.parametrize("page", PAGES, ids=name_of)
SMALL = "model.generator.base_channels=4 model.generator.num_blocks=1 data.workers_per_gpu=0"
SMALL += " model.discriminator.base_channels=4 log_config.interval=1 report.min_seconds=1000"
SMALL += " evaluation=None"
SMALL_DATA = " data.train.pipeline.1.size=36 data.train.pipeline.2.size=32"
SMALL_DATA += " data.test.pipeline.1.size=32"
PLACES = {
    r"\[[^]]*\] ?": "",
    r"\bCONFIG\|auto\b": "auto",
    r"configs/cyclegan/\.\.\.\.py": "configs/cyclegan/mine.py",
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
        for shift in range(0, 46, 15 if path.stem == "film" else 1):
            frame = np.ascontiguousarray(image[shift : shift + 64, shift : shift + 64])
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


@pytest.fixture(scope="module")
def place(tmp_path_factory, photos):
    """A folder with all that the commands name, as a reader would have it."""
    root = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "configs", root / "configs", ignore=lambda *_: ["__pycache__"])
    images = iter(
        photo[y:, x:]
        for y in range(0, 200, 40)
        for x in range(0, 300, 60)
        for photo in photos.values()
    )
    for folder in ("trainA", "trainB", "testA", "testB"):
        for i in range(5):
            write_picture(root / "data" / "mine" / folder / f"{i}.png", next(images))
    for name in ("monet2photo", "horse2zebra"):
        shutil.copytree(root / "data" / "mine", root / "data" / name)
    for folder, count in dict(my_sketches=2, photos=9, sketches=9).items():
        for i in range(count):
            write_picture(root / folder / f"{i}.png", next(images), 64)
    for name in ("one.jpg", "photo.jpg", "horse.jpg", "old.png"):
        write_picture(root / name, next(images), 64)
    for name in ("film", "winter", "summer"):
        write_film(root / f"{name}.mp4", next(images))
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
        extra = (SMALL + (SMALL_DATA if ours else "")).split()
        own = words[given + 1 :]
        return [*words[:given], "--cfg-options", *extra, *own, "total_iters=2"]
    if words[:2] == ["prepare_data", "own"]:
        # Not mine.py: the other pages train with the README's.
        config = "--config configs/cyclegan/own.py --overwrite"
        return [*words, *config.split(), *(["--test", "4"] if "photos" in words else [])]
    return words


def execute(command, tool, root):
    """Execute a command of a tool in the folder `root`."""
    text = command.text
    for placeholder, value in PLACES.items():
        text = re.sub(placeholder, value, text)
    python, script, *words = shlex.split(text)
    assert python == "python" and script.startswith("tools/"), (
        f"neither executed nor marked: {text}"
    )
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
        for config, folder in (
            ("configs/cyclegan/mine.py", "mine"),
            ("my_tutorial_config.py", "t"),
        ):
            words = small(["train", config, "--work-dir", f"work_dirs/{folder}"])
            result = tool(*words)
            assert result.code == 0, result.err[-900:]
    shutil.copy(place / "work_dirs" / "t" / "latest.pth", place / "iter_80000.pth")
    return place


def fetches(command):
    """What needs a network by its nature, and says so where it stands in a block."""
    tools = ("python tools/bootstrap.py", "python tools/prepare_data.py monet2photo")
    return command.text.startswith(tools)


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
        words = (
            re.sub(r"\[[^]]*\] ?", "", found[2])
            .replace("\\", "/")
            .replace("$SLURM_ARRAY_TASK_ID", "7")
        )
        spec = importlib.util.spec_from_file_location(found[1], ROOT / "tools" / f"{found[1]}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", [f"{found[1]}.py", *shlex.split(words)])
        if shlex.split(words):
            module.parse_args()


@EACH
def test_code_runs(page, ready, monkeypatch, done):
    monkeypatch.chdir(ready)
    for body in pages.code(pages.read(page)):
        compile(body, name_of(page), "exec")
        if "mmgen_ext.apis" in body and body not in done:
            exec(body, {})
            done[body] = True
