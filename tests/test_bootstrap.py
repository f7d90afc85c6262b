import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "tools" / "bootstrap.py"
spec = importlib.util.spec_from_file_location("bootstrap", SCRIPT)
bootstrap = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bootstrap)


def call(*arguments, python=sys.executable, **variables):
    """Runs the script as a user does."""
    return subprocess.run(
        [python, str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
        timeout=60,
    )


def unsupported_pythons():
    folder = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = (path for minor in (7, 8, 9, 13, 14) for path in folder.glob(f"3.{minor}.*/bin/python"))
    return sorted(map(str, found))


@pytest.fixture
def env(tmp_path):
    """An environment of two packages that exists on paper only."""
    for name in ("torch-2.15.0", "opencv_python-5.0.0.93"):
        folder = tmp_path / f"{name}.dist-info"
        folder.mkdir()
        (folder / "RECORD").touch()
    return bootstrap.Environment(sys.executable, "3.11", str(tmp_path), [str(tmp_path)])


@pytest.fixture
def installer(tmp_path):
    (tmp_path / "scratch").mkdir()
    log = tmp_path / "log"
    log.touch()
    return bootstrap.Installer(sys.executable, log, str(tmp_path / "scratch"), total=1)


def stamp(env, *extras):
    text = json.dumps(bootstrap.describe(env, set(extras)))
    Path(env.prefix, bootstrap.STAMP_NAME).write_text(text)


def test_help_names_the_commands_and_options():
    reply = call("-h")
    assert reply.returncode == 0
    for word in ("install,demo,test", "--venv PATH", "--no-venv", "--with-ops"):
        assert word in reply.stdout


def test_install_refuses_arguments_that_it_does_not_know():
    reply = call("install", "--with-opps")
    assert reply.returncode == 2
    assert "unknown arguments: --with-opps" in reply.stderr


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.13"])
def test_other_python_versions_get_a_sentence(version):
    expected = f"This is Python {version}; mmgen_ext needs CPython 3.10, 3.11 or 3.12."
    assert bootstrap.version_problem(version) == expected


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12"])
def test_supported_python_versions_get_none(version):
    assert bootstrap.version_problem(version) == ""


@pytest.mark.parametrize("python", unsupported_pythons() or [None])
def test_an_unsupported_python_runs_the_script_and_is_told(python, tmp_path):
    if python is None:
        pytest.skip("no unsupported Python found on this machine")
    reply = call("install", "--no-venv", python=python)
    assert reply.returncode == 1
    assert "mmgen_ext needs CPython 3.10, 3.11 or 3.12" in reply.stderr

    nowhere = str(tmp_path / "nowhere")
    reply = call("install", "--venv", nowhere, python=python, PATH=nowhere, PYENV_ROOT=nowhere)
    assert reply.returncode == 1
    assert "None was found on this machine.\nWhat to do: install Python 3.11" in reply.stderr


def test_a_folder_that_is_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("three years of work")
    reply = call("install", "--venv", str(tmp_path))
    assert reply.returncode == 1
    assert "is neither empty nor a virtual environment.\nWhat to do:" in reply.stderr
    assert (tmp_path / "thesis.txt").exists()


def test_a_failing_command_is_shown_with_its_last_lines_and_a_remedy(installer):
    code = "for i in range(40): print('line', i)\nraise SystemExit('No space left on device')"
    with pytest.raises(bootstrap.Failure) as failure:
        installer.run("-c", code)
    text = str(failure.value)
    assert f"The command\n    {bootstrap.typed([sys.executable, '-c'])} " in text
    assert "ended with status 1:" in text
    assert "\n    line 39\n    No space left on device\nWhat to do: The disk is full" in text
    assert "line 25\n" not in text.split("ended with")[1]
    assert f"All of its output: {installer.log}" in text


def test_a_failing_step_ends_the_program_with_status_1(env, monkeypatch, capsys):
    def steps(to, env, extras):
        with to.step("PyTorch"):
            to.run("-c", "raise SystemExit('NewConnectionError: no route')")

    monkeypatch.setattr(bootstrap, "locate", lambda options: (Path(env.prefix), env))
    monkeypatch.setattr(bootstrap, "make_environment", lambda to, folder, env: env)
    monkeypatch.setattr(bootstrap, "run_steps", steps)
    assert bootstrap.main(["install"]) == 1
    shown = capsys.readouterr()
    assert "[2/7] PyTorch ......" in shown.out
    assert shown.out.endswith(" failed\n")
    assert "What to do: The package index was not reached" in shown.err
    assert not Path(env.prefix, bootstrap.STAMP_NAME).exists()


@pytest.mark.parametrize(
    ("output", "remedy"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("#error C++20 or later compatible compiler is required", "too old: C++20"),
        ("error: command '/usr/bin/g++' failed with exit code 1", "compiler"),
        ("ImportError: libGL.so.1: cannot open shared object file", "apt install libgl1"),
        ("[Errno 13] Permission denied: '/usr/lib'", "--venv a folder of your own"),
        ("error: externally-managed-environment", "leave out --no-venv"),
        ("ERROR: No matching distribution found for torch", "64-bit CPython"),
        ("ValueError: 42", "goes on from there"),
    ],
)
def test_a_failure_gets_the_remedy_for_its_cause(output, remedy):
    assert remedy in bootstrap.advice(output)


def test_what_the_stamp_records_is_complete(env):
    assert not bootstrap.is_complete(env, set())
    stamp(env)
    assert bootstrap.is_complete(env, set())
    assert not bootstrap.is_complete(env, {"dev"})
    stamp(env, "dev")
    assert bootstrap.is_complete(env, set())


def test_the_stamp_notices_a_removed_package(env):
    stamp(env)
    shutil.rmtree(Path(env.prefix, "opencv_python-5.0.0.93.dist-info"))
    assert not bootstrap.is_complete(env, set())


def test_the_stamp_notices_another_version(env):
    stamp(env)
    Path(env.prefix, "torch-2.15.0.dist-info").rename(Path(env.prefix, "torch-2.9.0.dist-info"))
    assert not bootstrap.is_complete(env, set())


def test_the_stamp_notices_another_requirement(env, tmp_path, monkeypatch):
    copy = tmp_path / "requirements.txt"
    shutil.copy(bootstrap.REQUIREMENTS, copy)
    monkeypatch.setattr(bootstrap, "REQUIREMENTS", str(copy))
    stamp(env)
    assert bootstrap.is_complete(env, set())
    copy.write_text(copy.read_text() + "rich\n")
    assert not bootstrap.is_complete(env, set())


def test_the_users_own_packages_do_no_harm(env):
    stamp(env)
    (Path(env.prefix) / "rich-14.0.dist-info").mkdir()
    (Path(env.prefix) / "rich-14.0.dist-info" / "RECORD").touch()
    assert bootstrap.is_complete(env, set())


def test_a_package_whose_installation_was_killed_does_not_count(env):
    Path(env.prefix, "torch-2.15.0.dist-info", "RECORD").unlink()
    assert list(bootstrap.installed(env)) == ["opencv_python"]


def test_torch_can_be_hidden_from_a_build(installer):
    with pytest.raises(bootstrap.Failure, match=r"ModuleNotFoundError: hidden from setup\.py"):
        installer.run("-c", "import torch", **installer.without_torch)


def test_the_unpacked_source_asks_for_cpp20(tmp_path):
    text = b"cxx = ['-std=c++17'] if linux else ['/std:c++17']\nold = '-std=c++14'\n"
    with tarfile.open(tmp_path / "mmcv-full-1.7.2.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("mmcv-full-1.7.2/setup.py")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))
    bootstrap.unpack_for_new_torch(tmp_path / "mmcv-full-1.7.2.tar.gz")
    patched = (tmp_path / "mmcv-full-1.7.2" / "setup.py").read_bytes()
    assert patched == text.replace(b"c++17", b"c++20")


@pytest.mark.parametrize("code", [0, 7])
def test_the_exit_status_is_the_commands(env, code):
    assert bootstrap.launch(env, ["-c", f"raise SystemExit({code})"]) == code


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_stopping_takes_one_line_and_ends_the_command_too(tmp_path):
    pid_file = tmp_path / "pid"
    child = f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    program = f"""
import sys; sys.path.insert(0, {str(SCRIPT.parent)!r})
import bootstrap, pathlib
log = pathlib.Path({str(tmp_path / "log")!r})
to = bootstrap.Installer(sys.executable, log, {str(tmp_path)!r}, 1)
bootstrap.install = lambda *_: to.run("-c", {child!r})
sys.exit(bootstrap.main(["install"]))
"""
    # Not in tmp_path: the stand-in for torch lies there.
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 15
    while not (pid_file.exists() and pid_file.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.terminate()
    _, shown = process.communicate(timeout=15)
    assert process.returncode == 130
    assert shown == "\nStopped. The same command goes on from there.\n"
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def test_an_installed_environment_is_ready_at_once():
    env = bootstrap.probe(sys.executable)
    extras = {"ops"} if bootstrap.has_ops(env) else set()
    if not bootstrap.is_complete(env, extras):
        pytest.skip("this environment was not installed by this version of tools/bootstrap.py")
    started = time.monotonic()
    reply = call("install", "--no-venv")
    assert reply.returncode == 0, reply.stderr
    assert reply.stdout.startswith("ready in ")
    assert reply.stdout.splitlines()[-1].startswith(f"Next: {bootstrap.typed([env.python])} ")
    assert time.monotonic() - started < 3
