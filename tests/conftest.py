"""What tests share: a tiny unpaired data set of real photographs, a tiny config, the tools."""

import contextlib
import importlib.util
import io
import os
import re
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

# Tests run one process a core, and networks are tiny: threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import mmgen_ext  # noqa: I001  (first: it repairs what the others import)

import pytest
import skimage.data
import torch
from PIL import Image

assert mmgen_ext.compat.active is not None

# A suite that was started in the background ignores Ctrl-C, and so would what its tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Files with slow tests begin: at the end they would keep one process busy, and no other."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Scans are remembered in a folder of the test run, not of the user."""
    os.environ["MMGEN_EXT_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def photos():
    """Real photographs as RGB uint8, by name."""
    names = ("astronaut", "chelsea", "coffee", "rocket")
    return {name: getattr(skimage.data, name)() for name in names}


@pytest.fixture(scope="session")
def data_root(tmp_path_factory, photos):
    """Crops of 48 x 48: trainA 6, trainB 4, testA 2, testB 2; nested and with odd names."""
    root = tmp_path_factory.mktemp("data") / "unpaired"
    crops = iter(
        photo[y : y + 48, x : x + 48]
        for photo in photos.values()
        for y in (60, 130, 200)
        for x in (50, 120, 190)
    )
    for folder, count in dict(trainA=6, trainB=4, testA=2, testB=2).items():
        for i in range(count):
            path = root / folder / ("café 画" if i == 0 else "") / f"{folder} {i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(next(crops)).save(path)
    return root


TINY = """
_base_ = "{configs}/_base_/schedule.py"
domains = ["a", "b"]
data_root = {data_root!r}
model = dict(
    type="mmgen_ext.CycleGAN",
    generator=dict(type="mmgen_ext.ResnetGenerator", base_channels=4, num_blocks=1),
    discriminator=dict(type="mmgen_ext.PatchDiscriminator", base_channels=4, num_conv=2),
    domains=domains,
    pool_size=3,
)
train_cfg = None
test_cfg = None
pipeline = [
    dict(type="mmgen_ext.LoadImage"),
    dict(type="mmgen_ext.Resize", size=36),
    dict(type="mmgen_ext.RandomCrop", size=32),
    dict(type="mmgen_ext.RandomFlip"),
    dict(type="mmgen_ext.ToTensor"),
]
test_pipeline = [dict(type="mmgen_ext.LoadImage"), dict(type="mmgen_ext.ToTensor")]
data = dict(
    samples_per_gpu=1,
    workers_per_gpu=0,
    train=dict(type="mmgen_ext.UnpairedImageDataset", pipeline=pipeline),
)
total_iters = 6
log_config = dict(interval=2, hooks=[dict(type="TextLoggerHook")])
custom_hooks = [dict(type="GalleryHook", interval=3)]
checkpoint_config = dict(interval=2)
"""


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory, data_root):
    """A config file that trains six iterations in about a second."""
    path = tmp_path_factory.mktemp("config") / "tiny.py"
    configs = (ROOT / "configs").as_posix()
    path.write_text(TINY.format(configs=configs, data_root=str(data_root)), "utf-8")
    return path


@pytest.fixture(scope="session")
def tool():
    """Run a tool in this process: tool('train', CONFIG, ...) -> code, out, err."""

    def run(name, *args):
        spec = importlib.util.spec_from_file_location(f"tool_{name}", ROOT / "tools" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        out, err = io.StringIO(), io.StringIO()
        argv, sys.argv = sys.argv, [f"{name}.py", *map(str, args)]
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                spec.loader.exec_module(module)
                try:
                    mmgen_ext.cli.run(module.main)
                except SystemExit as stop:
                    code = stop.code
                if isinstance(code, str):  # what Python prints for sys.exit("text")
                    print(code, file=sys.stderr)
                    code = 1
        finally:
            sys.argv = argv
        return SimpleNamespace(code=code or 0, out=out.getvalue(), err=err.getvalue())

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory, tool, tiny_config):
    """The run directory of a finished tiny training."""
    work_dir = tmp_path_factory.mktemp("run") / "tiny"
    torch.set_num_threads(1)  # as in every test: sums over a picture are split among the threads
    result = tool("train", tiny_config, "--work-dir", work_dir)
    assert result.code == 0, result.err[-600:]
    return work_dir


@pytest.fixture
def sentence():
    """Check that an error is one clear sentence: no traceback, and these words."""

    def check(result, *words):
        text = result.err
        assert result.code not in (0, None)
        assert "Traceback" not in text
        errors = re.findall(r"^error: .*", text, re.MULTILINE)
        assert len(errors) == 1, text
        for word in words:
            assert str(word) in text, f"{word!r} is not in {text!r}"

    return check


@pytest.fixture(autouse=True)
def one_thread_and_seed():
    """Tiny networks run faster on one thread, and draw the same weights each time."""
    torch.set_num_threads(1)
    torch.manual_seed(0)


COUNTS = dict(trainA=6, trainB=4, testA=10, testB=9)


@pytest.fixture(scope="session")
def crops(tmp_path_factory, photos):
    """Crops of 48 x 48 with enough test pictures for KID; names have spaces and other scripts."""
    root = tmp_path_factory.mktemp("evaluation") / "crops 画"
    places = [(y, x) for y in range(0, 240, 48) for x in range(0, 340, 60)]
    for letter, names in ("A", ("chelsea", "coffee")), ("B", ("astronaut", "rocket")):
        pieces = iter(photos[n][y : y + 48, x : x + 48] for y, x in places for n in names)
        for phase in ("train", "test"):
            folder = root / f"{phase}{letter}"
            folder.mkdir(parents=True)
            for i in range(COUNTS[folder.name]):
                Image.fromarray(next(pieces)).save(folder / f"{i} é.png")
    return root


@pytest.fixture(scope="session")
def averaged(tmp_path_factory, tool, tiny_config, crops):
    """The run directory of a training with averaged weights on `crops`."""
    config = tmp_path_factory.mktemp("averaged") / "averaged.py"
    config.write_text(f"_base_ = {str(tiny_config)!r}\nema = dict(decay=0.9)\n", "utf-8")
    work_dir = config.parent / "run"
    options = ["--work-dir", work_dir, "--cfg-options", f"data_root={crops}"]
    result = tool("train", config, *options)
    assert result.code == 0, result.err[-600:]
    return work_dir
