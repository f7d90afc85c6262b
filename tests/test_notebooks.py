"""The notebooks run from start to end and show what they promise, the same in both languages."""

import base64
import importlib.util
import re
import shutil
from pathlib import Path

import cv2
import nbformat
import numpy as np
import pytest
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from mmgen_ext.inference.video_reader import VideoReader

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("01_install_check", "02_translate", "03_train_your_own", "04_many_styles")
LANGUAGES = ("", "_zh-CN")
# The machine's paths, also as Windows and macOS write them.
PATHS = re.compile(
    r"(?:^|[\s'\"=(:])(?:[A-Z]:\\|/(?:home|root|Users|tmp|var|opt|work|usr|private)/)"
)
# Every import takes seconds, so the notebooks share a kernel and their commands run in it; that of
# the first one, and the test of `run`, are processes of their own.
IN_ONE_KERNEL = """
%reset -f
import contextlib, io, logging, os, runpy, shlex, socket, sys
os.chdir({folder!r})
sys.path.insert(0, {demo!r})
import notebook_tools
from mmcv.utils.logging import logger_initialized

def run(line, only=""):
    text, sys.argv, status = io.StringIO(), shlex.split(line)[1:], 0
    logging.getLogger("mmgen").handlers.clear()  # they write into the text of the last command
    logger_initialized.clear()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as stop:
            status = stop.code
    for shown in text.getvalue().splitlines():
        notebook_tools._print(shown, only)
    assert not status, (line, status, text.getvalue()[-800:])

def refuse(address, *args, **kwargs):
    raise OSError("no network")

if {in_kernel}:
    notebook_tools.run = run
socket.create_connection = refuse
"""


def read(name, language=""):
    return nbformat.read(ROOT / "demo" / f"{name}{language}.ipynb", 4)


def code(notebook):
    return [(c.id, c.source) for c in notebook.cells if c.cell_type == "code"]


def outputs(notebook):
    return [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]


def text_of(notebook):
    """All that the cells print or show in words."""
    found = []
    for output in outputs(notebook):
        found.append(output.get("text", ""))
        found += [v for k, v in output.get("data", {}).items() if not k.startswith("image/")]
    return "\n".join(found)


def pictures(notebook):
    """All pictures that the cells show, as arrays."""
    data = [
        value
        for output in outputs(notebook)
        for kind, value in output.get("data", {}).items()
        if kind in ("image/jpeg", "image/png")
    ]
    coded = [np.frombuffer(base64.b64decode(value), np.uint8) for value in data]
    return [cv2.imdecode(buffer, cv2.IMREAD_COLOR) for buffer in coded]


def check_outputs(notebook, num_pictures):
    shown = pictures(notebook)
    assert len(shown) == num_pictures
    for picture in shown:
        assert min(picture.shape[:2]) > 30 and picture.std() > 10  # nothing blank
    text = text_of(notebook)
    assert "Traceback" not in text
    found = PATHS.search(text)
    assert not found, text[found.start() - 80 : found.end() + 80]
    for output in outputs(notebook):
        assert output.output_type != "error"
        assert output.get("name") != "stderr", output.text


NUM_PICTURES = dict(zip(NAMES, (1, 8, 6, 4), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_have_the_same_code_and_another_text(name):
    english, chinese = (read(name, language) for language in LANGUAGES)
    assert code(english) == code(chinese)
    assert [c.cell_type for c in english.cells] == [c.cell_type for c in chinese.cells]
    for a, b in zip(english.cells, chinese.cells, strict=True):
        if a.cell_type == "markdown":
            assert re.search("[\u4e00-\u9fff]", b.source)
            assert not re.search("[\u4e00-\u9fff]", a.source.replace("[中文]", ""))
            links = [re.findall(r"\]\(([^)]*)\)", cell.source) for cell in (a, b)]
            assert sorted(part.replace("_zh-CN", "") for part in links[1]) == sorted(
                part.replace("_zh-CN", "") for part in links[0]
            )


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_notebooks_are_kept_with_pictures_and_nothing_of_a_machine(name, language):
    notebook = read(name, language)
    check_outputs(notebook, NUM_PICTURES[name])
    assert outputs(notebook) == outputs(read(name))
    assert notebook.metadata.keys() == {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"
    assert (ROOT / "demo" / f"{name}{language}.ipynb").stat().st_size < 600_000
    for cell in notebook.cells:
        links = re.findall(r"\]\(([^)#:]+)\)", cell.source) if cell.cell_type == "markdown" else []
        assert all((ROOT / "demo" / link).exists() for link in links)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The English notebooks, run one after the other in a copy of the repository, and the copy."""
    copy = tmp_path_factory.mktemp("a clone") / "mmgen_ext 克隆"
    for folder in ("configs", "demo", "mmgen_ext", "tools"):
        ignored = shutil.ignore_patterns("__pycache__", "work_dirs")
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignored)
    demo = str(copy / "demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMGEN_EXT_NOTEBOOK_ITERS", "4")
        patch.setenv("MMGEN_EXT_NOTEBOOK_SIDE", "64")
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.delenv("PYTHONPATH", raising=False)
        manager, channels = start_new_kernel(cwd=demo)
    channels.stop_channels()
    results = {}
    try:
        for number, name in enumerate(NAMES):
            notebook = read(name)
            for cell in notebook.cells:
                if cell.cell_type == "code":
                    cell.outputs = []
                    cell.source = cell.source.replace("FETCH = False", "FETCH = True")
            # Jupyter starts where the notebook is, other tools at the root.
            folder = demo if number % 2 else str(copy)
            source = IN_ONE_KERNEL.format(folder=folder, demo=demo, in_kernel=number > 0)
            notebook.cells.insert(0, nbformat.v4.new_code_cell(source))
            NotebookClient(notebook, km=manager, timeout=300).execute()
            del notebook.cells[0]
            results[name] = notebook
    finally:
        manager.shutdown_kernel(now=True)
    return results, copy / "work_dirs" / "notebooks"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_from_start_to_end_and_shows_its_pictures(executed, name):
    check_outputs(executed[0][name], NUM_PICTURES[name])


@pytest.mark.slow
def test_the_first_one_shows_the_doctors_findings(executed):
    text = text_of(executed[0]["01_install_check"])
    assert "| training step " in text and "works on" in text
    assert "ResnetGenerator (1, 3, 64, 64) -> (1, 3, 64, 64)" in text


@pytest.mark.slow
def test_the_second_one_translates_a_picture_a_folder_and_a_video(executed):
    notebooks, work = executed
    work = work / "02_translate"
    text = text_of(notebooks["02_translate"])
    before, after = (
        cv2.imdecode(np.fromfile(work / name, np.uint8), cv2.IMREAD_COLOR)
        for name in ("photos/rocket.jpg", "rocket_vintage.jpg")
    )
    assert before.shape == after.shape and np.abs(before.astype(int) - after).mean() > 3
    assert "1 translated to vintage: work_dirs/notebooks/02_translate" in text
    assert "3 translated to vintage: work_dirs/notebooks/02_translate/vintage" in text
    assert sorted(p.name for p in (work / "vintage").iterdir()) == sorted(
        p.name for p in (work / "photos").iterdir()
    )
    for name in ("film.mp4", "film_vintage.mp4", "film_stable.mp4"):
        with VideoReader(work / name) as film:
            assert len(list(film)) == 16
    flicker = [float(n) for n in re.findall(r"16 frames, flicker ([\d.]+)", text)]
    assert len(flicker) == 3 and flicker[2] < flicker[1]
    assert int(re.search(r"largest difference: (\d+) of 255", text)[1]) <= 2


@pytest.mark.slow
def test_the_third_one_trains_goes_on_and_measures(executed):
    notebooks, work = executed
    text = text_of(notebooks["03_train_your_own"])
    assert "trainA 228, trainB 228, testA 12, testB 12" in text
    assert "photo: 228 images" in text
    for word in ("Iter [3/3]", "Iter [4/4]", "KID", "FID", "drawing to photo", "untranslated"):
        assert word in text
    run = work / "03_train_your_own" / "run"
    assert (run / "iter_4.pth").is_file() and (run / "report.html").is_file()
    assert (run.parent / "metrics.json").is_file()


@pytest.mark.slow
def test_the_fourth_one_makes_a_sheet_and_says_that_there_is_no_network(executed):
    notebooks, work = executed
    text = text_of(notebooks["04_many_styles"])
    assert "in 3 styles: work_dirs/notebooks/04_many_styles/sheet.jpg" in text
    assert (work / "04_many_styles" / "sheet.jpg").is_file()
    assert text.count("cannot be reached: is there a network?") == 4
    assert text.count("is left out: no network") == 4
    assert text_of(read("04_many_styles")).count("is left out: FETCH is False") == 4


@pytest.mark.slow
def test_notebooks_write_below_their_own_folders_alone(executed):
    work = executed[1]
    root = work.parents[1]
    assert {p.name for p in root.iterdir()} == {
        *("configs", "data", "demo", "mmgen_ext", "tools", "work_dirs"),
    }
    assert [p.name for p in (root / "data").iterdir()] == ["notebooks"]
    assert [p.name for p in (root / "work_dirs").iterdir()] == ["notebooks"]
    assert not [p for p in (root / "demo").iterdir() if p.suffix not in (".py", ".ipynb", "")]


@pytest.fixture(scope="module")
def tools():
    """demo/notebook_tools.py as a module."""
    spec = importlib.util.spec_from_file_location("tools", ROOT / "demo" / "notebook_tools.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_run_shows_what_a_command_prints_and_what_was_asked_for(tools, capsys):
    tools.run("""python -c "print('Iter 1 of 2, loss: 0.5'); print('画 two')" """)
    assert capsys.readouterr().out == "Iter 1 of 2, loss: 0.5\n画 two\n"
    tools.run("""python -c "print('Iter 1, loss: 0.5'); print('two')" """, only=r"Iter \d|0\.\d")
    assert capsys.readouterr().out == "Iter 1  0.5\n"


def test_a_command_that_fails_ends_the_cell_with_its_last_words(tools, capsys):
    with pytest.raises(RuntimeError, match=r"(?s)ended with status 1:.*error: no such thing"):
        tools.run("""python -c "import sys; sys.exit('error: no such thing')" """, only="nothing")
    assert capsys.readouterr().out == ""


@pytest.fixture
def execute():
    """demo/execute.py as a module."""
    spec = importlib.util.spec_from_file_location("execute", ROOT / "demo" / "execute.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_outputs_that_name_the_machine_are_refused(execute):
    shown = nbformat.v4.new_output("stream", text=f"saved in {ROOT}/work_dirs\n")
    cell = nbformat.v4.new_code_cell("save()", outputs=[shown])
    with pytest.raises(ValueError, match="of this machine"):
        execute.check(nbformat.v4.new_notebook(cells=[cell]))
    assert tuple(execute.names()) == NAMES


def test_an_unknown_notebook_is_answered_with_the_names(execute, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["execute.py", "02_translate.ipynb"])
    with pytest.raises(SystemExit, match="2"):
        execute.main()
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith(f"no notebook '02_translate.ipynb'; choose of {', '.join(NAMES)}")


def test_a_table_keeps_its_width_without_the_kernels_release(execute, monkeypatch):
    monkeypatch.setattr("platform.release", lambda: "6.1-x")
    assert execute.without_machine("| Linux-6.1-x-x86_64 |") == "| Linux-x86_64       |"


def test_execute_leaves_the_files_alone_if_a_cell_fails(execute, tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "DEMO", tmp_path)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    for language in LANGUAGES:
        nbformat.write(notebook, tmp_path / f"x{language}.ipynb")
    before = (tmp_path / "x.ipynb").read_bytes()
    with pytest.raises(CellExecutionError):
        execute.execute("x")
    assert (tmp_path / "x.ipynb").read_bytes() == before
