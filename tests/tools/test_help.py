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


@pytest.mark.parametrize("name", TOOLS)
def test_help_is_as_it_was_promised(name):
    """To change it on purpose: python tools/NAME.py -h > tests/tools/help/NAME.txt, 80 columns."""
    result = subprocess.run(
        [sys.executable, ROOT / "tools" / f"{name}.py", "-h"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "COLUMNS": "80", "PYTHONUTF8": "1"},
        cwd=ROOT,
    )
    assert result.returncode == 0
    assert result.stderr == ""
    # argparse words its headings differently from one Python to the next.
    promised = (HELP / f"{name}.txt").read_text("utf-8")
    assert result.stdout.split() == promised.split()


def test_every_tool_has_a_frozen_help():
    assert sorted(p.stem for p in (ROOT / "tools").glob("*.py")) == TOOLS
