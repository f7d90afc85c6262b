"""Repairs of what today's PyTorch, NumPy and SciPy broke in mmcv 1.7.2 and mmgen 0.7.3.

Both libraries are finished: these are their last releases. Each repair states its symptom, its
cause and when it can be deleted; it is applied only where it is needed, and applying twice changes
nothing. It changes names inside mmcv and mmgen, never those that NumPy and SciPy show to everybody.
No other file of the project repairs anything.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import sys
import types
import warnings
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

# The repairs in force in this process, name -> symptom. tools/doctor.py prints them.
active: dict[str, str] = {}


class _Overlay:
    """A module seen with some names replaced; every other name is read from the module itself."""

    def __init__(self, module: types.ModuleType, **names: object):
        self.__dict__.update(names)
        self._module = module

    def __getattr__(self, name: str) -> object:
        return getattr(self.__dict__["_module"], name)


class _MissingOps:
    """Stands for mmcv's compiled extension: each op is a function that says how to get it."""

    def __init__(self, reason: str):
        self._reason = reason

    # mmgen's and mmcv's collect_env call these two and print what they return.
    def get_compiler_version(self) -> str:
        return "not compiled"

    def get_compiling_cuda_version(self) -> str:
        return "not available"

    def __getattr__(self, name: str) -> Callable:
        # inspect, copy and pickle probe for dunder names; a missing one must read as "not there".
        if name.startswith("__"):
            raise AttributeError(name)

        def missing_op(*args, **kwargs):
            raise NotImplementedError(
                f"mmcv's compiled op '{name}' {self.__dict__['_reason']}. CycleGAN never calls it. "
                "For models that do, run: python tools/bootstrap.py install --with-ops"
            )

        return missing_op


def _why_no_compiled_ops() -> str:
    """The reason why mmcv's compiled extension cannot be used; empty if it can."""
    try:
        importlib.import_module("mmcv._ext")
    except ModuleNotFoundError:
        return "is not installed"
    except ImportError as error:
        return f"does not fit the installed PyTorch ({error})"
    return ""


def has_compiled_ops() -> bool:
    """True if mmcv's compiled extension is installed and loads."""
    return not _why_no_compiled_ops()


def _compiled_ops() -> bool:
    """Symptom: `import mmgen` fails with "No module named 'mmcv._ext'".

    Cause: mmgen imports mmcv.ops, and mmcv-full 1.7.2 neither ships a wheel nor compiles with the
    C++20 that torch 2.14 asks for. Delete when mmgen imports its ops lazily.
    """
    from mmcv.utils import ext_loader

    reason = _why_no_compiled_ops()
    if not reason:
        return False
    ext_loader.load_ext = lambda name, funcs: _MissingOps(reason)
    return True


def _stylegan_ada() -> bool:
    """Symptom: `import mmgen.models` fails with "No module named '...stylegan.ada'".

    Cause: the published mmgen 0.7.3 was built without that package. Delete when a release has it.
    """
    import mmgen

    name = "mmgen.models.architectures.stylegan.ada"
    folder = Path(mmgen.__file__).parent / "models/architectures/stylegan/ada"
    if name in sys.modules or folder.exists():
        return False

    def missing(*args, **kwargs):
        raise NotImplementedError(
            "The published mmgen 0.7.3 lacks adaptive augmentation (StyleGAN2-ADA only). Run: "
            "pip install --no-deps git+https://github.com/open-mmlab/mmgeneration.git@v0.7.3"
        )

    # Exactly what mmgen imports from there, so that walkers over sys.modules meet plain modules.
    contents = {"": {"__path__": []}, ".augment": {"AugmentPipe": missing}}
    contents[".misc"] = {"constant": missing}
    for suffix, attributes in contents.items():
        module = types.ModuleType(name + suffix, "Stand-in for what the mmgen release lacks.")
        module.__spec__ = ModuleSpec(module.__name__, loader=None, is_package=not suffix)
        vars(module).update(attributes)
        sys.modules[module.__name__] = module
    return True


def _slow_start() -> bool:
    """Symptom: every command takes seconds longer to start, in `import torchvision`.

    Cause: its roi_align, which mmcv and mmgen load and CycleGAN never calls, imports torch's
    compiler for one question about the device. It is asked when the op is called. Delete when
    torchvision asks then.
    """
    name = "torch._dynamo.utils"
    if {"torch._dynamo", "torchvision.ops.roi_align"} & set(sys.modules):
        return False

    def is_compile_supported(device_type: object) -> bool:
        return importlib.import_module(name).is_compile_supported(device_type)

    package, module = types.ModuleType("torch._dynamo"), types.ModuleType(name)
    package.__path__, module.is_compile_supported = [], is_compile_supported
    sys.modules |= {"torch._dynamo": package, name: module}
    try:
        importlib.import_module("torchvision.ops.roi_align")
    except ImportError:  # another release asks for more; what failed is imported again
        return False
    finally:
        del sys.modules["torch._dynamo"], sys.modules[name]
    return True


def _numpy_names() -> bool:
    """Symptom: "module 'numpy' has no attribute 'cumproduct'" in mmgen's diffusion models.

    Cause: NumPy 2 removed the alias. Delete with mmgen's diffusion models.
    """
    from mmgen.models.diffusions import base_diffusion

    np = base_diffusion.np
    if hasattr(np, "cumproduct"):
        return False
    base_diffusion.np = _Overlay(np, cumproduct=np.cumprod)
    return True


def _checkpoint_types() -> bool:
    """Symptom: a checkpoint of mmgen fails to load: "Unsupported global: numpy...scalar".

    Cause: mmgen stores evaluation scores as numpy.float64 in `meta`, and torch.load is
    `weights_only` by default since 2.6. These types hold numbers and run nothing.
    Delete when no one has checkpoints of mmgen any more.
    """
    import numpy as np
    import torch

    scalar = np.float64(0).__reduce__()[0]
    array = np.zeros(0).__reduce__()[0]
    kinds = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "U1"]
    allowed: list = [np.dtype, np.ndarray, *{type(np.dtype(kind)) for kind in kinds}]
    # Files written under NumPy 1 and 2 name the same two functions differently.
    for core in ("numpy.core.multiarray", "numpy._core.multiarray"):
        allowed += [(scalar, f"{core}.scalar"), (array, f"{core}._reconstruct")]
    torch.serialization.add_safe_globals(allowed)
    return True


def _sqrtm_disp() -> bool:
    """Symptom: mmgen's FID raises "sqrtm() got an unexpected keyword argument 'disp'".

    Cause: SciPy 1.18 removed the argument. Delete with mmgen's FID.
    """
    from mmgen.core.evaluation import metrics

    sqrtm = metrics.linalg.sqrtm
    if "disp" in inspect.signature(sqrtm).parameters:
        return False

    def sqrtm_with_disp(matrix, disp=True):
        # mmgen ignores the error estimate that came second.
        return sqrtm(matrix) if disp else (sqrtm(matrix), None)

    metrics.linalg = _Overlay(metrics.linalg, sqrtm=sqrtm_with_disp)
    return True


def _gpu_stream() -> bool:
    """Symptom: MMDataParallel on a GPU: "'int' object has no attribute 'type'".

    Cause: torch's private `_get_stream` takes a device since 2.1, mmcv passes its number. The
    current stream needs no private function and is always in order. Delete with mmcv 1.x.
    """
    import torch
    from mmcv.parallel import _functions

    if "device" not in inspect.signature(_functions._get_stream).parameters:
        return False
    _functions._get_stream = lambda number: torch.cuda.current_stream(number)
    return True


def _distributed_forward() -> bool:
    """Symptom: MMDistributedDataParallel: "no attribute '_use_replicated_tensor_module'".

    Cause: torch 2.1 removed the attribute that mmcv's subclass reads. Delete with mmcv 1.x.
    """
    from mmcv.parallel import MMDistributedDataParallel

    if hasattr(MMDistributedDataParallel, "_use_replicated_tensor_module"):
        return False
    MMDistributedDataParallel._use_replicated_tensor_module = False
    return True


def _is_worth_showing(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("No CUDA runtime is found")


def silence_banners() -> None:
    """Hide two messages about nothing the user can change: mmcv's of 2023 and "No CUDA runtime"."""
    warnings.filterwarnings("ignore", message="On January 1, 2023, MMCV will release v2.0.0")
    logging.getLogger("torch.utils.cpp_extension").addFilter(_is_worth_showing)


# The first hurries the import; two make mmgen importable; the others then look into it.
_REPAIRS = (
    _slow_start,
    _compiled_ops,
    _stylegan_ada,
    _numpy_names,
    _checkpoint_types,
    _sqrtm_disp,
    _gpu_stream,
    _distributed_forward,
)


def apply() -> dict[str, str]:
    """Apply every repair that this environment needs; return those in force, name -> symptom."""
    silence_banners()
    for repair in _REPAIRS:
        name = repair.__name__.lstrip("_")
        if name not in active and repair():
            symptom = inspect.getdoc(repair).splitlines()[0]
            active[name] = symptom.removeprefix("Symptom: ")
    return active
