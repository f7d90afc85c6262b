"""The estimate of memory, beside what a training takes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs" / "cyclegan" / "cyclegan_lsgan_resnet_in_b1x1_80k_monet2photo.py"

CODE = """
import json, sys
import torch
from mmgen_ext.benchmark_train import Contender, random_batch
from mmgen_ext.config import load_config
from mmgen_ext.inference.sizing import peak_memory
from mmgen_ext.training.memory import estimate_peak
from mmgen_ext.training.speed import has_bf16
cfg, device, size, batch = load_config(sys.argv[1]), torch.device("cpu"), 128, 2
kind = "bf16" if has_bf16(device) else "fp32"  # emulated it takes many minutes
if sys.argv[2] == "measure":
    contender = Contender(kind, cfg, device)
    data = random_batch(cfg, size, batch, device)
    contender.step(data), contender.step(data)
    print(peak_memory())
else:
    model = Contender(kind, cfg, device).model
    print(estimate_peak(model, dict(monet=3, photo=3), size, size, batch))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the libraries are of another size elsewhere")
def test_estimate_is_within_fifteen_percent_of_what_is_measured():
    found = [
        json.loads(subprocess.check_output([sys.executable, "-c", CODE, CONFIG, what]))
        for what in ("measure", "estimate")
    ]
    assert found[1] == pytest.approx(found[0], rel=0.15)


def test_dry_run_says_how_much_memory(tool, tiny_config):
    result = tool("train", tiny_config, "--dry-run")
    assert re.search(
        r"memory: about \d\.\d GiB on a CPU, with 32 x 32 pixels, 1 of each domain in a pass, fp32",
        result.out,
    )
