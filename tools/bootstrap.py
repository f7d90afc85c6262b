"""Installs mmgen_ext in the order that works, then runs its demo or its tests.

    python tools/bootstrap.py install|demo|test [--venv PATH | --no-venv] [--with-ops] [...]

Python's standard library only. It runs on any Python from 3.7 on, and makes the environment with
one that mmgen_ext can use. The version ranges stand in requirements.txt, none here.
"""

from __future__ import annotations

import argparse
import contextlib
import glob
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = str(ROOT / "requirements.txt")
STAMP_NAME, LOG_NAME = "mmgen_ext-stamp.json", "mmgen_ext-bootstrap.log"
# The most tried first. On 3.13 mmcv-full's setup.py fails: it reads locals() after exec (PEP 667).
SUPPORTED = ("3.11", "3.12", "3.10")
PROBE = (
    "import json, sys; version = '%d.%d' % sys.version_info[:2]; "
    "print(json.dumps([sys.executable, version, sys.prefix, sys.path]))"
)
# A pattern in the output of the command that failed, and what its reader can do.
ADVICE = {
    r"No space left|Errno 28\b|not enough space": "The disk is full: PyTorch with CUDA takes 6 GB, "
    "and pip's cache as much again (`pip cache purge` empties it).",
    r"externally-managed-environment": "The system's Python is closed to pip: leave out --no-venv.",
    r"Permission ?denied|Access is denied|Errno 13\b": "No right to write there: give --venv a "
    "folder of your own. On Windows also close programs that use the environment.",
    r"NewConnectionError|ConnectTimeout|ReadTimeout|NameResolution|ProxyError|SSLError|"
    r"Connection (refused|reset|aborted|broken)|Could not fetch URL|HTTP error": "The package "
    "index was not reached: check the network, the proxy (HTTPS_PROXY) and `pip config list`.",
    r"lib(GL|gthread|glib).*cannot open shared object": "OpenCV lacks a library of the system: on "
    "Debian and Ubuntu `apt install libgl1 libglib2.0-0`.",
    r"No matching distribution": "The package index has no such version for this Python and system "
    "(64-bit CPython 3.10 to 3.12 is needed). Without a network pip may say the same.",
    r"C\+\+20|unrecognized command.line option|Microsoft Visual C\+\+|ninja: build stopped|"
    r"Error compiling objects|error: command .*(cc|\+\+|cl\.exe|clang)": "The C++ compiler is "
    "missing or too old: C++20 is needed (gcc 11, clang 14, Visual Studio 2022 or newer). CycleGAN "
    "works without the ops: leave out --with-ops.",
}


class Failure(Exception):
    """What the user has to read before the program ends with status 1."""

    def __init__(self, problem: str, remedy: str):
        super().__init__(f"{problem}\nWhat to do: {remedy}")


class Environment(NamedTuple):
    """A Python to install into: interpreter, version as "3.11", sys.prefix and sys.path."""

    python: str
    version: str
    prefix: str
    folders: list


# Which Python -------------------------------------------------------------------------------------


def version_problem(version: str) -> str:
    """Returns the sentence about an unsupported version, "" for a supported one."""
    if version in SUPPORTED:
        return ""
    return f"This is Python {version}; mmgen_ext needs CPython 3.10, 3.11 or 3.12."


def probe(*command: str, modules: str = "sys"):
    """Returns the Environment of an interpreter; None if it does not run or lacks a module."""
    command += ("-c", f"import {modules}; {PROBE}")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    try:
        reply = subprocess.run(command, timeout=120, **pipes)
        python, version, prefix, folders = json.loads(reply.stdout.decode())
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    # "" stands for the current folder, which is no part of the environment.
    return Environment(python, version, prefix, [f for f in folders if f and os.path.isdir(f)])


def candidates():
    """Yields the commands that may start a supported Python, the running one first."""
    yield (sys.executable,)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for version in SUPPORTED:
        if os.name == "nt":
            yield ("py", f"-{version}")
        yield (f"python{version}",)
        for pattern in ("versions/{}.*/bin/python", "pyenv-win/versions/{}.*/python.exe"):
            for path in sorted(pyenv.glob(pattern.format(version))):
                yield (str(path),)


def find_base() -> Environment:
    """Returns a supported Python that can make virtual environments.

    Raises:
        Failure: there is none on this machine.
    """
    problem = version_problem("{}.{}".format(*sys.version_info))
    for command in candidates():
        base = probe(*command, modules="ensurepip, venv")
        if base and not version_problem(base.version):
            if problem:
                print(f"{problem} Using {base.python} (Python {base.version}).")
            return base
    raise Failure(
        (problem or "This Python comes without venv.") + " None was found on this machine.",
        "install Python 3.11 with venv (python.org, `pyenv install 3.11`, or on Debian and Ubuntu "
        "`apt install python3-venv`) and run the same command again.",
    )


def venv_python(folder: Path) -> str:
    """Returns the path of a virtual environment's interpreter."""
    return str(folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def locate(options):
    """Returns the folder to install into and its Environment, None if that has to be made.

    Raises:
        Failure: its Python is not supported, or the folder is something else.
    """
    if options.no_venv:
        env = probe(sys.executable)
        folder, remedy = Path(env.prefix), "leave out --no-venv, or start one of these."
    else:
        folder = Path(options.venv).expanduser().absolute()
        env, remedy = probe(venv_python(folder)), f"remove {folder}, or give --venv another folder."
    if env and version_problem(env.version):
        raise Failure(version_problem(env.version), remedy)
    content = set(os.listdir(str(folder))) if folder.exists() else set()
    if content and not env and not content & {"pyvenv.cfg", LOG_NAME}:
        raise Failure(f"{folder} is neither empty nor a virtual environment.", remedy)
    return folder, env


# What is installed --------------------------------------------------------------------------------


def installed(env: Environment) -> dict:
    """Returns {name: version} of the distributions whose installation was finished."""
    found = {}
    for folder in reversed(env.folders):
        for entry in os.listdir(folder) if os.path.isdir(folder) else ():
            # pip writes RECORD last, and renames to "~..." what it is about to remove.
            match = re.match(r"([^~].*)-([^-]+)\.dist-info$", entry)
            if match and os.path.exists(os.path.join(folder, entry, "RECORD")):
                found[match.group(1).lower()] = match.group(2)
    return found


def has_ops(env: Environment) -> bool:
    """True if mmcv's compiled extension is there, working or not."""
    return any(glob.glob(os.path.join(glob.escape(f), "mmcv", "_ext.*")) for f in env.folders)


def describe(env: Environment, extras: set) -> dict:
    """Returns what the stamp records: what was asked for and what is there."""
    sources = (Path(REQUIREMENTS), ROOT / "setup.py", Path(__file__))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    return {
        "wanted": [digest, env.version, str(ROOT)],
        "extras": sorted(extras),
        "packages": sorted("{}=={}".format(*pair) for pair in installed(env).items()),
    }


def read_stamp(env: Environment) -> dict:
    """Returns what the last complete run recorded, or an empty record."""
    try:
        return json.loads(Path(env.prefix, STAMP_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"wanted": [], "extras": [], "packages": []}


def is_complete(env: Environment, extras: set) -> bool:
    """True if all that the stamp records is still there, and covers these extras."""
    stamp, now = read_stamp(env), describe(env, extras)
    return (
        stamp["wanted"] == now["wanted"]
        and extras <= set(stamp["extras"])
        and set(stamp["packages"]) <= set(now["packages"])
    )


# Installing ---------------------------------------------------------------------------------------


def advice(output: str) -> str:
    """Returns what to do about the output of a command that failed."""
    for pattern, sentence in ADVICE.items():
        if re.search(pattern, output):
            return sentence
    return "Read the lines above. What was installed stays: the same command goes on from there."


def last_lines(output: str, count: int) -> list:
    """Returns the last lines that say something; pip repeats one remark about missing folders."""
    lines = [line.rstrip() for line in output.splitlines()]
    return [line for line in lines if line and "is ignored: it is neither" not in line][-count:]


def child_environment(variables: dict) -> dict:
    """Returns the variables of a command: ours, pip kept quiet, mmcv's switch only on demand."""
    env = {name: value for name, value in os.environ.items() if name != "MMCV_WITH_OPS"}
    env.update(PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1")
    if os.name == "nt":
        env["PYTHONUTF8"] = "1"
    env.update(variables)
    return env


def stop(process: subprocess.Popen) -> None:
    """Ends a command and, where the system can, what it started."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGTERM)
        else:
            process.terminate()
        process.wait(timeout=10)


def unpack_for_new_torch(archive: Path) -> None:
    """Unpacks mmcv-full beside its archive; torch 2.14 wants C++20, its setup.py passes C++17."""
    with tarfile.open(str(archive)) as tar:
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        tar.extractall(str(archive.parent), **safe)
    script = next(archive.parent.glob("*/setup.py"))
    text = script.read_text(encoding="utf-8")
    script.write_text(re.sub(r"std([=:])c\+\+17", r"std\1c++20", text), encoding="utf-8")


class Installer:
    """Runs the steps: one line each to the screen, what the commands say to a log."""

    def __init__(self, python: str, log: Path, scratch: str, total: int):
        self.python, self.log, self.total = python, log, total
        self.number, self.line, self.started = 0, "", 0.0
        # mmcv-full's setup.py compiles if it can import torch, and does not on ModuleNotFoundError.
        text = "raise ModuleNotFoundError('hidden from setup.py, to build without ops')\n"
        Path(scratch, "torch.py").write_text(text, encoding="utf-8")
        path = [scratch, os.environ.get("PYTHONPATH")]
        self.without_torch = {"PYTHONPATH": os.pathsep.join(filter(None, path))}

    @contextlib.contextmanager
    def step(self, title: str):
        """Prints the step's line, and at its end the time it took."""
        self.number, self.started = self.number + 1, time.monotonic()
        self.line = f"[{self.number}/{self.total}] {title} ".ljust(40, ".")
        print(self.line, end="", flush=True)
        try:
            yield
        except Failure:
            print(" failed")
            raise
        self.show("\n")

    def show(self, end: str = "", hint: str = "") -> None:
        """Prints the step's time so far; on a terminal over what stood in the line."""
        text = f"{time.monotonic() - self.started:4.0f} s  {hint}".rstrip()
        if sys.stdout.isatty():
            width = shutil.get_terminal_size().columns - 1
            text = "\r" + (self.line + text)[:width].ljust(width)
        print(text, end=end, flush=True)

    def wait(self, process: subprocess.Popen) -> None:
        """Waits for a command; a terminal shows the seconds and the log's last line meanwhile."""
        while True:
            try:
                process.wait(timeout=0.5)
                return
            except subprocess.TimeoutExpired:
                if sys.stdout.isatty():
                    self.show(hint="".join(last_lines(self.output(-400), 1)).strip())

    def output(self, begin: int) -> str:
        """Returns the log from a position on; a negative one counts from its end."""
        return self.log.read_bytes()[begin:].decode("utf-8", "replace")

    def run(self, *arguments: str, **variables: str) -> None:
        """Runs the environment's Python.

        Raises:
            Failure: it ended with another status than 0; says how and what to do.
        """
        shown = typed([self.python, *arguments])
        with open(str(self.log), "ab") as log:
            log.write(f"\n$ {shown}\n".encode("utf-8", "replace"))
            log.flush()
            begin = log.tell()
            process = subprocess.Popen(
                [self.python, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=child_environment(variables),
                start_new_session=True,
            )
            try:
                self.wait(process)
            except BaseException:
                stop(process)
                raise
        if process.returncode:
            output = self.output(begin)
            lines = "".join(f"\n    {line}" for line in last_lines(output, 15))
            raise Failure(
                f"The command\n    {shown}\nended with status {process.returncode}:{lines}",
                f"{advice(output)}\nAll of its output: {self.log}",
            )

    def pip(self, *arguments: str, **variables: str) -> None:
        """Runs `pip install` within the ranges of requirements.txt; what is there stays."""
        self.run("-m", "pip", "install", "-c", REQUIREMENTS, *arguments, **variables)

    def compile_ops(self, prefix: str) -> None:
        """Compiles mmcv-full's ops in a source tree that stays until this has succeeded."""
        tree = Path(prefix, "mmcv-ops")
        options = ["--no-deps", "--no-build-isolation"]
        self.pip("ninja")
        if not list(tree.glob("*/setup.py")):
            source = ["--no-binary", "mmcv-full", "--no-cache-dir", "-c", REQUIREMENTS, "mmcv-full"]
            download = ["-m", "pip", "download", *options, "-d", str(tree)]
            self.run(*download, *source, **self.without_torch)
            unpack_for_new_torch(next(tree.glob("mmcv*.tar.gz")))
        self.pip(
            *options,
            *["--force-reinstall", "-v", str(next(tree.glob("*/setup.py")).parent)],
            MMCV_WITH_OPS="1",
            # For the CPU; FORCE_CUDA=1 in the user's environment asks for CUDA all the same.
            CUDA_VISIBLE_DEVICES="-1",
            PATH=os.pathsep.join([os.path.dirname(self.python), os.environ.get("PATH", "")]),
        )
        self.run("-c", "import torch, mmcv._ext")
        shutil.rmtree(str(tree), ignore_errors=True)


def make_environment(to: Installer, folder: Path, env) -> Environment:
    """Makes the virtual environment, or only its pip, and returns it without half-done packages."""
    if not env:
        to.run("-m", "venv", str(folder))
        env = probe(venv_python(folder))
        to.python = env.python
    if "pip" not in installed(env):
        to.run("-m", "ensurepip")
    if "mmcv" in installed(env):
        remedy = f"`{env.python} -m pip uninstall mmcv`, or use another environment."
        raise Failure("mmcv is installed there, in the same folder as mmcv-full.", remedy)
    for place in env.folders if (Path(env.prefix) / "pyvenv.cfg").exists() else ():
        for entry in Path(place).glob("*.dist-info"):
            # Left by a killed pip, which takes such a package for installed and cannot replace it.
            if entry.is_dir() and not (entry / "RECORD").exists():
                shutil.rmtree(str(entry), ignore_errors=True)
    return env


def run_steps(to: Installer, env: Environment, extras: set) -> None:
    """Installs everything into the environment, in the order that works."""
    isolated = ["--no-build-isolation", "--no-deps"]
    with to.step("build tools"):
        to.pip("setuptools", "wheel")
    with to.step("mmcv-full"):
        # Without pip's cache: that may hold one that was compiled, for another torch.
        source = ["--no-cache-dir", "--no-binary", "mmcv-full", "mmcv-full"]
        to.pip(*isolated, *source, **to.without_torch)
    with to.step("PyTorch"):
        to.pip("torch", "torchvision")
    with to.step("mmgen"):
        # Its setup.py imports torch.
        to.pip(*isolated, "mmgen")
    with to.step("other libraries"):
        to.pip("-r", REQUIREMENTS)
        to.run("-c", "import cv2")
    with to.step("mmgen_ext" + " and test tools" * ("dev" in extras)):
        # The configs evaluate while they train.
        to.pip("--no-build-isolation", "-e", f"{ROOT}[{'dev' if 'dev' in extras else 'eval'}]")
    if "ops" in extras:
        with to.step("mmcv's ops, many minutes"):
            try:
                to.run("-c", "import torch, mmcv._ext")
            except Failure:
                to.compile_ops(env.prefix)


def install(options, extras: set) -> Environment:
    """Returns the environment that the options name, with everything in it.

    Raises:
        Failure: it cannot be used, or a step failed.
    """
    folder, env = locate(options)
    if env and has_ops(env):
        extras = extras | {"ops"}
    if env and is_complete(env, extras):
        return env
    base = env or find_base()
    if not env:
        shutil.rmtree(str(folder), ignore_errors=True)
        folder.mkdir(parents=True)
    log = Path(folder if os.access(str(folder), os.W_OK) else tempfile.gettempdir(), LOG_NAME)
    log.write_bytes(b"")
    print(f"Installing into {folder} (Python {base.version}); details in {log}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        to = Installer(base.python, log, scratch, total=8 if "ops" in extras else 7)
        with to.step("environment"):
            env = make_environment(to, folder, env)
        if is_complete(env, set()):
            extras = extras | set(read_stamp(env)["extras"])
        run_steps(to, env, extras)
    with contextlib.suppress(OSError):
        stamp = json.dumps(describe(env, extras), indent=1)
        Path(env.prefix, STAMP_NAME).write_text(stamp, encoding="utf-8")
    return env


# Running ------------------------------------------------------------------------------------------


def typed(command: list) -> str:
    """Returns a command as one types it."""
    return (
        subprocess.list2cmdline(command) if os.name == "nt" else " ".join(map(shlex.quote, command))
    )


def launch(env: Environment, arguments: list) -> int:
    """Runs the environment's Python in the repository and returns its exit status."""
    command = [env.python, *arguments]
    process = subprocess.Popen(command, cwd=str(ROOT), env=child_environment({}))
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    while True:
        # Ctrl-C reaches both; how it ends is the command's affair.
        with contextlib.suppress(KeyboardInterrupt):
            code = process.wait()
            return code if code >= 0 else 128 - code


def parse(argv):
    """Returns our own options and the arguments that are passed on."""
    parser = argparse.ArgumentParser(
        prog="bootstrap.py",
        description="Installs mmgen_ext, then runs its demo or its tests. Again: ready at once.",
        epilog="Other arguments go to the demo or to pytest.",
        allow_abbrev=False,
    )
    parser.add_argument("command", choices=["install", "demo", "test"])
    place = parser.add_mutually_exclusive_group()
    venv = {"metavar": "PATH", "default": str(ROOT / ".venv")}
    place.add_argument("--venv", **venv, help="virtual environment to make or use (.venv)")
    place.add_argument("--no-venv", action="store_true", help="install into the running Python")
    parser.add_argument("--with-ops", action="store_true", help="compile mmcv's ops, for StyleGAN")
    options, rest = parser.parse_known_args(argv)
    if rest and options.command == "install":
        parser.error("unknown arguments: " + " ".join(rest))
    return options, rest


def interrupt(*_):
    """Makes the other ways of stopping a program like Ctrl-C."""
    raise KeyboardInterrupt


def main(argv=None) -> int:
    """Runs the command line and returns the exit status."""
    started = time.monotonic()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")
    for name in {"SIGTERM", "SIGHUP"} & set(dir(signal)):
        signal.signal(getattr(signal, name), interrupt)
    options, rest = parse(argv)
    extras = {"dev"} if options.command == "test" else set()
    try:
        env = install(options, extras | ({"ops"} if options.with_ops else set()))
    except (Failure, OSError) as error:
        remedy = "" if isinstance(error, Failure) else f"\nWhat to do: {advice(str(error))}"
        print(f"\n{error}{remedy}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from there.", file=sys.stderr)
        return 130
    print(f"ready in {time.monotonic() - started:.1f} s: {env.python}", flush=True)
    if options.command == "install":
        print(f"Next: {typed([env.python, str(ROOT / 'tools' / 'doctor.py')])}")
        return 0
    # One process a core; files in the order that tests/conftest.py gives them.
    tests = ["-m", "pytest", "-n", "logical", "--dist", "loadfile", "--no-loadscope-reorder"]
    target = tests if options.command == "test" else [str(ROOT / "demo" / "run.py")]
    return launch(env, target + rest)


if __name__ == "__main__":
    sys.exit(main())
