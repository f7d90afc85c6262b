"""`python -m mmgen_ext`: the command lines, wherever the package is installed."""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path

from . import __version__
from .files import shipped

OVERVIEW = """mmgen_ext {version}: CycleGAN for MMGeneration

    python -m mmgen_ext COMMAND ...    runs tools/COMMAND.py; COMMAND -h says what it takes

{commands}

The configs: {configs}
Exit codes: 0 done; 1 an error, said in a sentence; 2 the command line is not understood;
130 and 143 stopped by Ctrl-C or SIGTERM, with all that was done kept. NO_COLOR=1 takes colours
away.
"""


def find_tools() -> dict[str, Path]:
    """The command lines by name, without bootstrap.py, which installs a checkout."""
    return {p.stem: p for p in sorted(shipped("tools").glob("*.py")) if p.stem != "bootstrap"}


def overview() -> str:
    """All commands with what each is for."""
    lines = []
    for name, path in find_tools().items():
        doc = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        lines.append(f"    {name:<14} {doc.splitlines()[0]}")
    configs = shipped("configs") / "cyclegan"
    return OVERVIEW.format(version=__version__, commands="\n".join(lines), configs=configs)


def main() -> int:
    """List the commands, or run one."""
    tools, arguments = find_tools(), sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview(), end="")
        return 0
    if arguments[0] in ("-V", "--version"):
        print(__version__)
        return 0
    if arguments[0] not in tools:
        print(f"error: no command {arguments[0]!r}; choose one of {', '.join(tools)}",
              file=sys.stderr)  # fmt: skip
        return 2
    path = str(tools[arguments[0]])
    sys.argv = [path, *arguments[1:]]
    runpy.run_path(path, run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
