"""CycleGAN for MMGeneration: `import mmgen_ext` repairs the stack and registers every component."""

__version__ = "0.1.0"

import sys

_excepthook = sys.excepthook


def _say_interrupted(kind, error, trace) -> None:
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
    else:
        _excepthook(kind, error, trace)


# Ctrl-C during the seconds that all this takes to import deserves no traceback.
sys.excepthook = _say_interrupted

from . import compat  # noqa: E402

compat.apply()

from . import cli, datasets, models  # noqa: E402
from .inference import teacher  # noqa: E402
from .training import hooks  # noqa: E402

sys.excepthook = _excepthook

__all__ = ["cli", "compat", "datasets", "hooks", "models", "teacher"]
