"""What `pip install .` gives: a package with its configs and command lines."""

import io
import os
import shlex
import subprocess
import sys
import tarfile
import zipfile

import pytest
from PIL import Image
from processes import ROOT

from mmgen_ext import cli
from mmgen_ext.config import load_config

CONFIG = "cyclegan_lsgan_resnet_in_b1x1_80k_monet2photo.py"


def build(what, folder):
    code = f"import sys; from setuptools.build_meta import {what} as build; build(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", code, folder], cwd=folder.parent / "source", check=True,
        capture_output=True,
    )  # fmt: skip
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The files that git knows, so that no build leaves anything in the checkout."""
    folder = tmp_path_factory.mktemp("package") / "source"
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


@pytest.fixture(scope="module")
def installed(source):
    """The wheel, unpacked as an installer would."""
    (source.parent / "wheel").mkdir()
    wheel = build("build_wheel", source.parent / "wheel")
    folder = source.parent / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(installed, *args, **kwargs):
    return subprocess.run(
        [sys.executable, "-m", "mmgen_ext", *args], cwd=installed.parent, text=True,
        capture_output=True, env={**os.environ, "PYTHONPATH": str(installed)}, **kwargs,
    )  # fmt: skip


def test_wheel_holds_the_package_with_configs_and_tools_and_nothing_else(installed):
    assert {p.name for p in installed.iterdir() if not p.name.endswith(".dist-info")} == {
        "mmgen_ext"
    }
    for name in ("configs", "tools"):
        shipped = {
            p.relative_to(installed / "mmgen_ext" / name).as_posix()
            for p in (installed / "mmgen_ext" / name).rglob("*")
            if p.is_file()
        }
        here = {
            p.relative_to(ROOT / name).as_posix()
            for p in (ROOT / name).rglob("*")
            if p.is_file() and "__pycache__" not in p.parts
        }
        assert shipped == here
    assert (installed / "mmgen_ext" / "training" / "report.html").is_file()


def test_installed_package_lists_and_runs_its_commands(installed):
    overview = run(installed)
    assert overview.returncode == 0, overview.stderr
    for name in ("train", "translate", "evaluate", "doctor"):
        assert f"\n    {name} " in overview.stdout
    assert str(installed) in overview.stdout  # the configs are the installed ones
    unknown = run(installed, "trian")
    assert unknown.returncode == 2 and "choose one of" in unknown.stderr
    missing = run(installed, "train", CONFIG, "--cfg-options", "data_root=nowhere")
    assert missing.returncode == 1
    assert "\nerror: " in missing.stderr and "nowhere" in missing.stderr.splitlines()[-1]


def test_in_an_installed_package_what_it_says_to_type_next_works(installed, tmp_path, photos):
    for tool, argument in (("train", "configs"), ("prepare_data", "own")):
        told = run(installed, tool, "-h").stdout
        assert f"python -m mmgen_ext {tool} {argument}" in told and "tools/" not in told
    for name, photo in zip("ab", ("coffee", "rocket"), strict=True):
        (tmp_path / name).mkdir()
        for i in range(2):
            piece = Image.fromarray(photos[photo][80 * i : 80 * i + 80, :80])
            piece.save(tmp_path / name / f"{i}.png")
    folders = (tmp_path / "a", tmp_path / "b", tmp_path / "wheel set")
    made = run(installed, "prepare_data", "own", *folders)
    assert made.returncode == 0, made.stderr
    assert not list(installed.rglob("wheel set.py"))
    config = installed.parent / "configs" / "cyclegan" / "wheel set.py"
    assert load_config(config).data_root == (tmp_path / "wheel set").as_posix()
    last = made.stdout.splitlines()[-1]
    python, *words = shlex.split(last.removeprefix("Train:"))
    assert [python, *words[:3]] == ["python", "-m", "mmgen_ext", "train"]
    tried = run(installed, *words[2:], "--dry-run", "--cfg-options", "data_root=nowhere")
    assert tried.returncode == 1 and "python -m mmgen_ext prepare_data own" in tried.stderr
    checked = run(installed, "prepare_data", "check", folders[2], "--out", tmp_path / "x.png")
    assert last.removeprefix("Train:").strip() == checked.stdout.splitlines()[-1][len("Train: ") :]


def test_source_distribution_builds_what_the_checkout_builds(source):
    (source.parent / "sdist").mkdir()
    with tarfile.open(build("build_sdist", source.parent / "sdist")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"setup.py", "requirements.txt", "README.md", "LICENSE", "tools/train.py"} <= names
    assert {"configs/_base_/model.py", f"configs/cyclegan/{CONFIG}"} <= names
    assert {f"configs/{name}/metafile.yml" for name in ("cyclegan", "cut")} <= names
    assert not any(name.startswith(("work_dirs", "data/")) for name in names)


def test_a_config_of_ours_is_found_by_its_name_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config(CONFIG).model.domains == ["monet", "photo"]


def test_colours_are_for_terminals(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert cli.paint("error:", "red", io.StringIO()) == "error:"
    assert cli.paint("error:", "red", Terminal()) == "\033[31merror:\033[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert cli.paint("error:", "red", Terminal()) == "error:"
