"""Say what is installed, what is missing, and whether training works here.

Example:
    python tools/doctor.py
"""

import argparse
import importlib
import importlib.metadata
import os
import platform
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if (ROOT / "mmgen_ext").is_dir():  # a checkout
    sys.path.insert(0, str(ROOT))

# Nothing else is imported up here: this tool must run where something is missing or broken.

CURE = "python tools/bootstrap.py install"
# name -> module. mmgen_ext stands before those that its repairs make importable and quiet.
REQUIRED = {
    "torch": "torch",
    "torchvision": "torchvision",
    "numpy": "numpy",
    "opencv": "cv2",
    "Pillow": "PIL",
    "prettytable": "prettytable",
    "mmgen_ext": "mmgen_ext",
    "mmcv-full": "mmcv",
    "mmcls": "mmcls",
    "mmgen": "mmgen",
}
OPTIONAL = {
    "av": "video",
    "torch-fidelity": "FID and KID",
    "onnx": "export",
    "onnxruntime": "export",
    "gradio": "the web app",
    "tensorboard": "curves in TensorBoard",
}


def one_line(error: BaseException) -> str:
    """The error's first line, or its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def version(distribution: str) -> str | None:
    """Version of an installed distribution, without importing it."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def check_required() -> tuple[dict[str, str], list[str]]:
    """Import every required package; return the versions, and the names of those that fail."""
    found, problems = {}, []
    for name, module_name in REQUIRED.items():
        try:
            module = importlib.import_module(module_name)
        except Exception as error:  # a broken package can raise anything
            found[name] = f"MISSING OR BROKEN: {one_line(error)}"
            problems.append(name)
        else:
            found[name] = getattr(module, "__version__", None) or version(name) or "installed"
    return found, problems


def check_optional() -> dict[str, str]:
    """Versions of the extras, or what each would be for."""
    return {
        name: version(name) or f"not installed (only for {purpose})"
        for name, purpose in OPTIONAL.items()
    }


def describe_devices() -> dict[str, str]:
    """The devices that PyTorch can use."""
    import torch

    from mmgen_ext.words import counted

    devices = {
        "cpu": f"{counted(torch.get_num_threads(), 'thread')}, {counted(os.cpu_count(), 'core')}"
    }
    for i in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(i)
        devices[f"cuda:{i}"] = f"{card.name}, {card.total_memory / 2**30:.0f} GiB"
    if torch.backends.mps.is_available():
        devices["mps"] = "Apple GPU"
    return devices


def describe_repairs() -> dict[str, str]:
    """Whether mmcv's ops are compiled, and the repairs in force."""
    from mmgen_ext import compat

    hint = f"no (only for StyleGAN2 and others: {CURE} --with-ops)"
    rows = {"compiled ops": "yes" if compat.has_compiled_ops() else hint}
    return rows | {
        f"repaired: {name}": f"without it, {symptom}" for name, symptom in compat.active.items()
    }


def train_one_step() -> str:
    """Train a tiny CycleGAN for one step on the best device; return how that went.

    Raises:
        RuntimeError: If the step changed nothing or gave losses that are not numbers.
    """
    import torch
    from mmgen.models import build_model

    from mmgen_ext.device import pick_device

    device = pick_device()
    model = build_model(
        dict(
            type="mmgen_ext.CycleGAN",
            generator=dict(type="mmgen_ext.ResnetGenerator", base_channels=4, num_blocks=1),
            discriminator=dict(type="mmgen_ext.PatchDiscriminator", base_channels=4, num_conv=2),
        )
    ).to(device)
    networks = {name: getattr(model, name) for name in ("generators", "discriminators")}
    optimizers = {name: torch.optim.Adam(n.parameters(), 1e-3) for name, n in networks.items()}
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    batch = {f"img_{domain}": torch.rand(1, 3, 32, 32, device=device) * 2 - 1 for domain in "ab"}
    start = time.perf_counter()
    losses = model.train_step(batch, optimizers)["log_vars"]
    bad = [name for name, loss in losses.items() if not torch.isfinite(torch.as_tensor(loss)).all()]
    if bad or all(torch.equal(weights[name], value) for name, value in model.state_dict().items()):
        raise RuntimeError(f"the step failed: {bad or 'no weight changed'}")
    return f"works on {device}, {time.perf_counter() - start:.2f} s"


def print_rows(rows: dict[str, str]) -> None:
    """Print a table, or plain lines where prettytable is what is missing."""
    try:
        from prettytable import PrettyTable
    except Exception:
        print("\n".join(f"{name}: {value}" for name, value in rows.items()))
        return
    table = PrettyTable(["what", "found"], align="l", max_width=88)
    table.add_rows(list(rows.items()))
    print(table)


def add_rows(rows: dict[str, str], problems: list[str], label: str, describe) -> None:
    """Add what `describe` returns; what it raises is a row and a problem."""
    try:
        found = describe()
    except Exception as error:  # the reason why this tool was asked
        rows[label] = f"BROKEN: {one_line(error)}"
        problems.append(label)
    else:
        rows.update(found if isinstance(found, dict) else {label: found})


def main() -> int:
    """Print the findings; return 1 if training cannot work."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    rows = {"Python": platform.python_version(), "OS": platform.platform()}
    required, problems = check_required()
    rows |= required | check_optional()
    if not problems:
        add_rows(rows, problems, "devices", describe_devices)
        add_rows(rows, problems, "repairs", describe_repairs)
        add_rows(rows, problems, "training step", train_one_step)
    print_rows(rows)
    if problems:
        failing = ", ".join(problems)
        print(f"error: training cannot work; failing: {failing}. Run: {CURE}", file=sys.stderr)
        return 1
    print("All is in place. Next: python demo/run.py")
    return 0


if __name__ == "__main__":
    sys.exit(main())
