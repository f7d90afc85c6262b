"""tools/doctor.py tells a sound installation from a broken one, whatever is broken."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

DOCTOR = Path(__file__).resolve().parents[1] / "tools" / "doctor.py"


@pytest.fixture
def doctor():
    spec = importlib.util.spec_from_file_location("doctor", DOCTOR)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_without(*hidden):
    """Run the tool in a process where these modules cannot be imported."""
    code = f"""
import runpy, sys
class Hider:
    def find_spec(self, name, path=None, target=None):
        if name in {hidden!r}:
            raise ImportError("hidden: " + name)
sys.meta_path.insert(0, Hider())
sys.argv = [{str(DOCTOR)!r}]
runpy.run_path({str(DOCTOR)!r}, run_name="__main__")
"""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def assert_refused(result, *failing):
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: training cannot work; failing: ")
    assert line.endswith("Run: python tools/bootstrap.py install")
    for name in failing:
        assert name in line


def test_a_sound_installation_is_described_and_takes_a_training_step(doctor, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["doctor.py"])
    assert doctor.main() == 0
    out, err = capsys.readouterr()
    assert err == ""
    for word in ("torch", "mmgen", "0.7.3", "cpu", "compiled ops", "repaired: ", "training step"):
        assert word in out
    assert "| training step" in out and "works on" in out


def test_without_torch_it_still_reports():
    result = run_without("torch")
    assert_refused(result, "torch", "mmgen_ext")
    assert "MISSING OR BROKEN: hidden: torch" in result.stdout
    assert "Python" in result.stdout and "numpy" in result.stdout


def test_without_mmgen_and_prettytable_it_prints_plain_lines():
    result = run_without("mmgen", "prettytable")
    assert_refused(result, "mmgen", "prettytable")
    assert "mmgen: MISSING OR BROKEN: hidden: mmgen" in result.stdout.splitlines()
    assert "+--" not in result.stdout


def test_a_step_that_fails_is_the_verdict(doctor, capsys, monkeypatch):
    def fail():
        raise RuntimeError("no kernel image\nand a long tail")

    monkeypatch.setattr(doctor, "train_one_step", fail)
    monkeypatch.setattr(sys, "argv", ["doctor.py"])
    assert doctor.main() == 1
    out, err = capsys.readouterr()
    assert "BROKEN: no kernel image" in out and "long tail" not in out
    assert "failing: training step. Run: python tools/bootstrap.py install" in err


def test_a_step_that_learns_nothing_is_an_error(doctor, monkeypatch):
    from mmgen_ext.models import CycleGAN

    step = {"log_vars": {}}
    monkeypatch.setattr(CycleGAN, "train_step", lambda self, batch, optimizers: step)
    with pytest.raises(RuntimeError, match="no weight changed"):
        doctor.train_one_step()


def test_a_missing_extra_says_what_it_is_for(doctor, monkeypatch):
    monkeypatch.setattr(doctor, "version", lambda name: "1.0" if name == "onnx" else None)
    extras = doctor.check_optional()
    assert extras["onnx"] == "1.0"
    assert extras["av"] == "not installed (only for video)"
