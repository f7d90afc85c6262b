"""What all command lines share: a mistake of the user's is a sentence, one of ours a traceback."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from typing import TextIO

from mmcv import DictAction

from .files import typed

COLOURS = dict(red=31, green=32, yellow=33)


def run(main: Callable[[], int | None]) -> None:
    """Run a command line and exit: what `main` returned, 1 with what was wrong, 130 on Ctrl-C.

    Set MMGEN_EXT_DEBUG=1 to see the traceback of an error too.
    """
    try:
        sys.exit(main())
    except KeyboardInterrupt as error:
        print(paint(f"interrupted: {error}".rstrip(": "), "yellow"), file=sys.stderr)
        sys.exit(130)
    except (ValueError, OSError, NotImplementedError) as error:
        if os.environ.get("MMGEN_EXT_DEBUG"):
            raise
        # What a loader's worker raised arrives as the text of its traceback.
        text = str(error).rpartition("\n" + type(error).__name__ + ": ")[2]
        print(f"{paint('error:', 'red')} {text.strip()}", file=sys.stderr)
        sys.exit(1)


def paint(text: str, colour: str, stream: TextIO | None = None) -> str:
    """The text in 'red', 'green' or 'yellow' if `stream`, by default stderr, is a terminal.

    Not with NO_COLOR set (https://no-color.org).
    """
    stream = stream or sys.stderr
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\033[{COLOURS[colour]}m{text}\033[0m"


def command(*words: object) -> str:
    """A command to type, quoted as the system's shell wants it."""
    parts = list(map(str, words))
    return subprocess.list2cmdline(parts) if os.name == "nt" else shlex.join(parts)


def new_parser(doc: str) -> argparse.ArgumentParser:
    """A parser that shows a tool's docstring; its examples are what one types here."""
    return argparse.ArgumentParser(
        description=typed(doc), formatter_class=argparse.RawDescriptionHelpFormatter
    )


def number(text: str) -> int:
    """Parse a whole number of at least 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}; expected a whole number of at least 1")
    return int(text)


class CfgOptions(DictAction):
    """OpenMMLab's KEY=VALUE, whose values keep their spaces."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        """Take the values; a part without = is most often one of a list with spaces."""
        for value in values:
            if "=" not in value:
                raise argparse.ArgumentError(
                    self, f"got {value!r}; expected KEY=VALUE, a list without spaces or in quotes"
                )
        super().__call__(parser, namespace, values, option_string)

    @staticmethod
    def _parse_iterable(val: str) -> object:
        # mmcv takes the spaces out of lists, and so out of folders' names.
        if " " in val and not set(val) & set("[](),"):
            return val
        return DictAction._parse_iterable(val)


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add OpenMMLab's --cfg-options."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=CfgOptions,
        metavar="KEY=VALUE",
        help="override the config, for example total_iters=1000 data.samples_per_gpu=4",
    )
