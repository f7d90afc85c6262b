"""The command lines are promises: their help is frozen, and changes only on purpose."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HELP = Path(__file__).parent / "help"
TOOLS = [
    "benchmark",
    "bootstrap",
    "compare_recipes",
    "convert",
    "doctor",
    "evaluate",
    "export",
    "prepare_data",
    "publish",
    "train",
    "translate",
]


@pytest.mark.parametrize("name", [name for name in TOOLS if name != "bootstrap"])
def test_help_is_as_it_was_promised(tool, monkeypatch, name):
    """To change it on purpose: python tools/NAME.py -h > tests/tools/help/NAME.txt, 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    result = tool(name, "-h")
    assert result.code == 0
    check(name, result.out, result.err)


def test_help_of_bootstrap_is_as_it_was_promised():
    """It installs what all others import, so it starts without."""
    result = subprocess.run(
        [sys.executable, "-S", ROOT / "tools" / "bootstrap.py", "-h"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "COLUMNS": "80", "PYTHONUTF8": "1"},
    )
    assert result.returncode == 0
    check("bootstrap", result.stdout, result.stderr)


def check(name, out, err):
    assert err == ""
    # argparse words its headings differently from one Python to the next.
    promised = (HELP / f"{name}.txt").read_text("utf-8")
    assert out.split() == promised.split()


def test_every_tool_has_a_frozen_help():
    assert sorted(p.stem for p in (ROOT / "tools").glob("*.py")) == TOOLS
