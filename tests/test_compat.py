"""compat.py: with it mmcv and mmgen import and work; without a repair each of these tests fails."""

import copy
import inspect
import logging
import os
import pickle
import subprocess
import sys
import types
import warnings
from pathlib import Path

import mmcv.ops
import numpy as np
import pytest
import torch
from mmcv.parallel import DataContainer, MMDataParallel, _functions
from mmgen.core.evaluation import metrics
from mmgen.models.diffusions import base_diffusion

from mmgen_ext import compat

ROOT = Path(__file__).resolve().parents[1]


def run_python(code, *args, **environment):
    """Run code in a fresh process that sees the project; fails with its output if it fails."""
    path = os.pathsep.join([environment.pop("PYTHONPATH", ""), str(ROOT)]).strip(os.pathsep)
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, "-c", code, *map(str, args)]
    result = subprocess.run(command, capture_output=True, text=True, env=env, timeout=120)
    assert result.returncode == 0, result.stderr
    return result


def test_a_fresh_import_prints_nothing_and_a_second_apply_changes_nothing(tmp_path):
    code = """
import mmgen_ext, mmgen.apis, sys
from mmgen_ext import compat
from mmcv.parallel import _functions, MMDistributedDataParallel
from mmcv.utils import ext_loader
from mmgen.core.evaluation import metrics
from mmgen.models.diffusions import base_diffusion
def state():
    names = ext_loader.load_ext, _functions._get_stream, metrics.linalg, base_diffusion.np
    return names, dict(compat.active), dict(vars(MMDistributedDataParallel)), dict(sys.modules)
before = state()
assert "distributed_forward" in compat.active
assert compat.apply() is compat.active
assert before == state(), "a repair was applied on top of itself"
"""
    # Where CUDA_HOME points somewhere and there is no GPU, torch speaks up; mmcv always does.
    result = run_python(code, CUDA_HOME=str(tmp_path))
    assert (result.stdout, result.stderr) == ("", "")


def test_torchs_compiler_is_imported_when_it_is_asked_for():
    code = """
import sys, mmgen_ext, mmgen.apis, torch
assert "slow_start" in mmgen_ext.compat.active
assert not [name for name in sys.modules if name.startswith("torch._dynamo")]
from torchvision.ops import roi_align  # the function; the module has the same name
ones, box = torch.ones(1, 1, 8, 8), [torch.tensor([[0.0, 0, 4, 4]])]
assert roi_align(ones, box, 2).eq(1).all()
assert sys.modules["torchvision.ops.roi_align"].is_compile_supported("cpu")
assert torch._dynamo.is_compiling is sys.modules["torch._dynamo"].is_compiling
assert torch.compile(lambda x: 2 * x, backend="eager")(ones).eq(2).all()
"""
    run_python(code)


def test_a_torchvision_that_asks_torchs_compiler_for_more_gets_it(tmp_path):
    ops = tmp_path / "torchvision" / "ops"
    ops.mkdir(parents=True)
    (ops.parent / "__init__.py").write_text("from . import ops")
    (ops / "__init__.py").write_text("from . import roi_align")
    (ops / "roi_align.py").write_text("from torch._dynamo.utils import counters")
    code = f"""
import runpy, sys
compat = runpy.run_path({str(ROOT / "mmgen_ext" / "compat.py")!r})
assert not compat["_slow_start"]()
import torchvision.ops.roi_align as module
assert module.counters is sys.modules["torch._dynamo.utils"].counters
"""
    run_python(code, PYTHONPATH=str(tmp_path))


def test_other_warnings_of_torch_and_mmcv_are_still_shown(caplog):
    logger = logging.getLogger("torch.utils.cpp_extension")
    logger.addHandler(caplog.handler)
    logger.warning("No CUDA runtime is found, using CUDA_HOME='%s'", "/nowhere")
    logger.warning("The compiler is %s", "too old")
    logger.removeHandler(caplog.handler)
    assert {r.getMessage() for r in caplog.records} == {"The compiler is too old"}
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        compat.silence_banners()
        warnings.warn("On January 1, 2023, MMCV will release v2.0.0, in which", stacklevel=1)
        warnings.warn("MMCV has something else to say", stacklevel=1)
    assert [str(w.message) for w in shown] == ["MMCV has something else to say"]


def test_the_repairs_leave_the_public_names_of_numpy_and_scipy_alone():
    import scipy.linalg

    assert scipy.linalg.sqrtm.__module__.startswith("scipy")
    assert base_diffusion.np.cumproduct is np.cumprod
    if np.__version__ >= "2":
        assert not hasattr(np, "cumproduct")


@pytest.mark.skipif(compat.has_compiled_ops(), reason="mmcv's ops are compiled here")
def test_a_missing_op_says_how_to_get_it():
    with pytest.raises(NotImplementedError, match=r"'nms'.*bootstrap\.py install --with-ops"):
        mmcv.ops.nms(torch.rand(2, 4), torch.rand(2), 0.5)


def test_ops_that_have_a_torch_fallback_still_use_it():
    out = mmcv.ops.upfirdn2d(torch.ones(1, 1, 4, 4), torch.ones(2, 2), pad=(1, 0))
    assert out.shape == (1, 1, 4, 4)
    assert mmcv.ops.fused_bias_leakyrelu(torch.ones(1, 2, 3, 3), torch.zeros(2)).shape[1] == 2


def test_what_the_mmgen_release_lacks_says_so_when_it_is_used():
    from mmgen.models.architectures.stylegan import generator_discriminator_v2 as stylegan2

    if inspect.isclass(stylegan2.AugmentPipe):
        pytest.skip("this mmgen has adaptive augmentation")
    with pytest.raises(NotImplementedError, match="lacks adaptive augmentation"):
        stylegan2.AugmentPipe()


def test_stand_ins_do_not_disturb_those_who_look_at_them():
    ops = compat._MissingOps("is not installed")
    assert not hasattr(ops, "__file__") and not hasattr(ops, "__wrapped__")
    assert copy.copy(ops)._reason == pickle.loads(pickle.dumps(ops))._reason == ops._reason
    assert not hasattr(compat._Overlay(np, cumproduct=np.cumprod), "no_such_name")
    for name, module in list(sys.modules.items()):
        if ".stylegan.ada" in name:
            assert module.__spec__.name == name
            assert not hasattr(module, "__file__") or module.__file__
            assert not hasattr(module, "any_name")
            inspect.getmembers(module)
    inspect.stack()
    inspect.getmodule(test_a_missing_op_says_how_to_get_it)


def test_torch_compile_can_walk_the_modules():
    model = torch.nn.Linear(2, 2)
    compiled = torch.compile(model, backend="eager")
    x = torch.ones(1, 2)
    assert torch.equal(compiled(x), model(x))


def fake_package(folder, body):
    """A second `mmcv` on the path: the real one plus a module `_ext` with this body."""
    package = folder / "mmcv"
    package.mkdir()
    real = Path(mmcv.__file__).parent
    (package / "__init__.py").write_text(
        f"__path__.append({str(real)!r})\n"
        f"__file__ = {str(real / '__init__.py')!r}\n"
        "exec(compile(open(__file__).read(), __file__, 'exec'))\n"
    )
    (package / "_ext.py").write_text(body)
    return str(folder)


def test_compiled_ops_that_are_there_are_left_alone(tmp_path):
    body = "def __getattr__(name):\n    return lambda *args, **kwargs: 'compiled'\n"
    code = """
from mmgen_ext import compat
from mmcv.utils import ext_loader
assert "compiled_ops" not in compat.active and compat.has_compiled_ops()
assert ext_loader.load_ext.__module__ == "mmcv.utils.ext_loader"
from mmcv.ops import info
assert info.get_compiler_version() == "compiled"
"""
    run_python(code, PYTHONPATH=fake_package(tmp_path, body))


def test_ops_compiled_for_another_torch_are_replaced_and_named(tmp_path):
    code = """
from mmgen_ext import compat
import mmcv.ops, torch
assert "compiled_ops" in compat.active and not compat.has_compiled_ops()
try:
    mmcv.ops.nms(torch.rand(2, 4), torch.rand(2), 0.5)
except NotImplementedError as error:
    assert "does not fit the installed PyTorch (undefined symbol: _ZN" in str(error), error
    assert "--with-ops" in str(error)
else:
    raise AssertionError("no error")
"""
    body = "raise ImportError('undefined symbol: _ZN')"
    run_python(code, PYTHONPATH=fake_package(tmp_path, body))


SCORES = [
    np.float64(0.5),
    np.float32(1.5),
    np.int64(3),
    np.bool_(True),
    np.arange(3.0),
    {"best": [np.float64(2), {"again": np.float16(1)}], "name": np.str_("fid")},
]


@pytest.mark.parametrize("numpy_core", [b"numpy._core.multiarray", b"numpy.core.multiarray"])
def test_a_checkpoint_with_numpy_scores_loads_safely(tmp_path, numpy_core, monkeypatch):
    path = tmp_path / "iter_2.pth"
    meta = {f"score{i}": score for i, score in enumerate(SCORES)}
    rename_numpy_core(monkeypatch, numpy_core)
    torch.save({"meta": meta, "state_dict": {}}, path)
    monkeypatch.undo()
    assert numpy_core + b"\n" in path.read_bytes()
    for load in (torch.load, mmcv.runner.checkpoint._load_checkpoint):
        loaded = load(str(path), map_location="cpu")["meta"]
        assert repr(loaded) == repr(meta)


def rename_numpy_core(monkeypatch, name):
    """Let pickles written from here on call NumPy's core by the name of another version."""
    function = np.float64(0).__reduce__()[0]
    array = np.zeros(0).__reduce__()[0]
    name = name.decode()
    alias = sys.modules.get(name) or types.ModuleType(name)
    monkeypatch.setitem(sys.modules, name, alias)
    for item in (function, array):
        if getattr(alias, item.__name__, None) is not item:
            monkeypatch.setattr(alias, item.__name__, item, raising=False)
        monkeypatch.setattr(item, "__module__", name)


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return exec, (f"open({str(self.path)!r}, 'w')",)


def test_a_checkpoint_that_would_run_code_is_still_refused(tmp_path):
    path, trace = tmp_path / "evil.pth", tmp_path / "trace"
    torch.save({"meta": {"score": Malicious(trace)}, "state_dict": {}}, path)
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        mmcv.runner.checkpoint._load_checkpoint(str(path))
    assert not trace.exists()


def new_sqrtm(A):
    """SciPy 1.18's signature."""
    values, vectors = np.linalg.eig(A)
    return (vectors * np.sqrt(values.astype(complex))) @ np.linalg.inv(vectors)


def test_fid_works_where_sqrtm_has_no_disp(monkeypatch):
    draw = np.random.default_rng(0).normal(size=(2, 50, 4))
    mean, cov = draw.mean(1), [np.cov(x, rowvar=False) for x in draw]
    moments = (mean[0], cov[0], mean[1], cov[1])
    expected = metrics.FID._calc_fid(*moments)
    scipy_1_18 = types.SimpleNamespace(sqrtm=new_sqrtm, norm=np.linalg.norm)
    monkeypatch.setattr(metrics, "linalg", scipy_1_18)
    with pytest.raises(TypeError, match="disp"):
        metrics.FID._calc_fid(*moments)
    assert compat._sqrtm_disp() and not compat._sqrtm_disp()
    np.testing.assert_allclose(metrics.FID._calc_fid(*moments), expected, rtol=1e-6)
    assert metrics.linalg.norm is np.linalg.norm
    assert scipy_1_18.sqrtm is new_sqrtm


def test_diffusion_models_build_with_numpy_2():
    class Diffusion(base_diffusion.BasicGaussianDiffusion):
        def __init__(self):
            self.num_timesteps, self.betas_schedule, self.betas_cfg = 4, "linear", {}

        def get_betas(self):
            return np.linspace(0.1, 0.4, 4)

    diffusion = Diffusion()
    diffusion.prepare_diffusion_vars()
    np.testing.assert_allclose(diffusion.alphas_bar, [0.9, 0.72, 0.504, 0.3024])


class Steps(torch.nn.Module):
    """A model with the two entrances that mmcv's wrappers know."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)

    def forward(self, x):
        return self.layer(x).pow(2).mean()

    def train_step(self, x, optimizer=None):
        return {"loss": self(x)}


@pytest.mark.parametrize("device_ids", [[0], [-1], None])
@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU these ids mean that GPU")
def test_data_parallel_trains_on_a_cpu(device_ids):
    model = MMDataParallel(Steps(), device_ids=device_ids)
    batch = DataContainer([torch.ones(2, 3)], stack=True)
    model.train_step(batch, None)["loss"].backward()
    assert model.module.layer.weight.grad.abs().sum() > 0
    assert model(batch).ndim == 0


def test_the_copy_to_a_gpu_asks_for_a_stream_by_number(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: asked.append(device))
    _functions._get_stream(1)
    assert asked == [1]


def gradients_of(rank, entrance, model):
    """Gradients of one rank's own batch."""
    x = torch.arange(6.0).reshape(2, 3) * (rank + 1)
    loss = model.train_step(x)["loss"] if entrance == "train_step" else model(x)
    model.zero_grad()
    loss.backward()
    return model


def compare_with_the_mean(rank, world_size, rendezvous):
    """Run in each process: the gradient must be the mean of both ranks' own gradients."""
    import torch.distributed as dist
    from mmcv.parallel import MMDistributedDataParallel

    store = f"file://{rendezvous}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world_size)
    torch.manual_seed(0)
    plain = Steps()
    wrapped = MMDistributedDataParallel(copy.deepcopy(plain))
    for entrance in ("train_step", "forward", "train_step", "forward"):
        got = gradients_of(rank, entrance, wrapped).module.layer.weight.grad
        own = [
            gradients_of(r, entrance, plain).layer.weight.grad.clone() for r in range(world_size)
        ]
        assert not torch.allclose(own[0], own[1])
        torch.testing.assert_close(got, sum(own) / world_size)
    dist.destroy_process_group()


def test_distributed_gradients_are_averaged_over_two_processes(tmp_path):
    code = """
import sys
from pathlib import Path
import torch.multiprocessing as mp
sys.path.insert(0, str(Path(sys.argv[1])))
import mmgen_ext
from test_compat import compare_with_the_mean
mp.start_processes(compare_with_the_mean, (2, sys.argv[2]), nprocs=2, start_method="fork")
"""
    run_python(code, ROOT / "tests", tmp_path / "rendezvous")
