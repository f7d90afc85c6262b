"""CycleGAN for MMGeneration: `import mmgen_ext` repairs the stack and registers every component."""

__version__ = "0.1.0"

from . import compat

compat.apply()

from . import cli, datasets, models  # noqa: E402
from .inference import teacher  # noqa: E402
from .training import hooks  # noqa: E402

__all__ = ["cli", "compat", "datasets", "hooks", "models", "teacher"]
