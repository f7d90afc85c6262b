"""What makes a training fast changes no result."""

import pytest
import torch
from mmcv import Config

from mmgen_ext.models.precision import LossScale
from mmgen_ext.training.speed import choose_precision, keep_freed_memory
from mmgen_ext.training.state import collect, contiguous, match_memory_format, restore


def step(optimizer, gradients):
    for parameter, gradient in zip(optimizer.param_groups[0]["params"], gradients, strict=True):
        parameter.grad = torch.empty_like(parameter).copy_(gradient)
    optimizer.step()


def test_fused_adam_in_channels_last_continues_contiguous_moments():
    start, gradients = torch.randn(8, 4, 3, 3), [torch.randn(8, 4, 3, 3) for _ in range(4)]
    plain = torch.nn.Parameter(start.clone())
    ours = torch.nn.Parameter(start.clone(memory_format=torch.channels_last))
    expected = torch.optim.Adam([plain], lr=0.1)
    optimizer = torch.optim.Adam([ours], lr=0.1, fused=True)
    for gradient in gradients[:2]:
        step(expected, [gradient])
        step(optimizer, [gradient])
    saved = contiguous(optimizer.state_dict())
    assert saved["state"][0]["exp_avg"].is_contiguous()
    resumed = torch.optim.Adam([ours], lr=0.1, fused=True)
    resumed.load_state_dict(saved)
    match_memory_format(resumed)
    for gradient in gradients[2:]:
        step(expected, [gradient])
        step(resumed, [gradient])
    assert torch.allclose(ours, plain, atol=1e-6)


def test_freed_memory_is_kept_where_that_can_be_asked_for_and_nothing_happens_elsewhere(
    monkeypatch,
):
    keep_freed_memory()
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    keep_freed_memory()
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setattr("ctypes.CDLL", None)
    keep_freed_memory()


def test_loss_scale_is_part_of_a_checkpoint():
    def model(scale):
        network = torch.nn.Linear(2, 2)
        network.loss_scale = LossScale(scale)
        return network

    saved, other = model(512.0), model(65536.0)
    saved.loss_scale.update(applied=True)
    optimizers = {"generators": torch.optim.Adam(saved.parameters())}
    content = collect(saved, optimizers, {}, {})
    others = {"generators": torch.optim.Adam(other.parameters())}
    restore(content, other, others, torch.device("cpu"))
    assert other.loss_scale.state_dict() == {"scale": 512.0, "steps": 1}


@pytest.mark.parametrize(
    ("capabilities", "model", "chosen"),
    [
        (dict(avx512_bf16=True), "mmgen_ext.CycleGAN", "bf16"),
        (dict(avx512_bf16=False, amx_bf16=True), "mmgen_ext.CycleGAN", "bf16"),
        (dict(avx2=True), "mmgen_ext.CycleGAN", "fp32"),
        (dict(avx512_bf16=True), "CycleGAN", "fp32"),
    ],
)
def test_auto_is_bf16_where_the_processor_has_it(capabilities, model, chosen, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    cfg = Config(dict(precision="auto", model=dict(type=model)))
    assert choose_precision(cfg, torch.device("cpu")) == chosen
    assert choose_precision(Config(dict(model=dict(type=model))), torch.device("cpu")) == "fp32"


def test_compiling_refuses_penalties_that_differentiate_gradients(tool, tiny_config, sentence):
    r1 = ["model.gan_loss.type=mmgen_ext.GANLoss", "model.gan_loss.r1_weight=1"]
    result = tool("train", tiny_config, "--dry-run", "--cfg-options", "compile=True", *r1)
    sentence(result, "which wgan-gp and r1_weight need; set compile=False")
