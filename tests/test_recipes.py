"""Recipes at equal work: trained for real, in order, and measured as tools/evaluate.py does."""

import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest
from mmgen.models.builder import build_model
from processes import Tool

from mmgen_ext.checkpoint import find_checkpoints, iteration
from mmgen_ext.recipes import Plan, Run
from mmgen_ext.recipes_report import mean_and_spread

ROOT = Path(__file__).resolve().parents[1]
PLAN = """
base = {base!r}
common = {{"data.workers_per_gpu": 0, "gallery": None}}
sets = dict(crops=dict(domains=["a", "b"], data_root={root!r}))
seeds = [1, 2]
repeated = ["mmgen", "resize"]
minutes = 0.005
iterations = 2
recipes = {{"mmgen": "mmgen", "resize": {{"model.generator.upsample": "resize"}}, "base": {{}}}}
"""


@pytest.fixture
def plan(tmp_path, tiny_config, crops):
    path = tmp_path / "plan.py"
    path.write_text(PLAN.format(base=str(tiny_config), root=crops.name), "utf-8")
    return path


CUT = """
_base_ = {base!r}
model = dict(type="mmgen_ext.CUT", default_domain="b", num_patches=16, width=8, pool_size=0)
optimizer = dict(projections=dict(type="Adam", lr=2e-4))
"""


@pytest.mark.slow
def test_recipes_of_both_libraries_and_of_one_direction_are_trained_and_compared(
    tool, plan, tmp_path, tiny_config, crops
):
    config = tmp_path / "cut.py"
    config.write_text(CUT.format(base=str(tiny_config)), "utf-8")
    text = plan.read_text("utf-8")
    text = text.replace('"base": {}', f'"base": {{}}, "cut": {dict(base=str(config))!r}')
    plan.write_text(text, "utf-8")
    work_dir = tmp_path / "runs"
    arguments = ["--data", crops.parent, "--work-dir", work_dir, "--seeds", 1]
    chosen = [*arguments, "--recipes", "mmgen", "resize", "cut"]
    done = tool("compare_recipes", plan, *chosen)
    assert done.code == 0, done.err[-600:]
    for recipe in ("mmgen", "resize", "cut"):
        folder = work_dir / "crops" / recipe / "seed_1"
        result = json.loads((folder / "result.json").read_text("utf-8"))
        assert (folder / result["last"]).name == f"iter_{result['total']}.pth"
        assert result["total"] >= 2 and result["seconds"] > 0
        for when in ("iterations", "minutes"):
            assert set(result["figures"][when]) == ({"b"} if recipe == "cut" else {"a", "b"})
        early = result["figures"]["iterations"]["b"]["protocol"]["iteration"]
        assert early == (1 if recipe == "mmgen" else 2)  # mmgen numbers its last one from 0
        assert (work_dir / "crops" / f"{recipe}.png").is_file()
    lines = (work_dir / "crops.md").read_text("utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert [row[0] for row in rows[:1] + rows[2:]] == [
        *("recipe", "untranslated", "mmgen", "resize", "cut"),
    ]
    both, one = rows[-2:]
    assert len(both) == len(one) and all(both)
    assert [bool(cell) for cell in one[5:]] == [False] * 4 + [True] * 4

    again = tool("compare_recipes", plan, *chosen, "--dry-run")
    assert again.out.startswith("0 runs")
    more = tool("compare_recipes", plan, *arguments, "--dry-run")
    assert more.out.splitlines()[0] == "crops base seed 1"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_a_stopped_training_saves_and_the_same_command_goes_on(plan, tmp_path, crops):
    """Ctrl-C and SIGTERM reach the training once; none is left behind."""
    plan.write_text(plan.read_text("utf-8").replace("minutes = 0.005", "minutes = 60"), "utf-8")
    work_dir, log = tmp_path / "runs", tmp_path / "runs" / "crops" / "base" / "seed_1" / "train.log"
    (work_dir / "speed").mkdir(parents=True)
    (work_dir / "speed" / "base.json").write_text('{"s": 0.1, "mb": 1}', "utf-8")
    options = ["--data", crops.parent, "--work-dir", work_dir, "--seeds", 1, "--recipes", "base"]

    def iterations():
        return max(map(iteration, find_checkpoints(log.parent / "run")), default=0)

    for number in (signal.SIGTERM, signal.SIGINT):
        before = iterations()
        run = Tool("compare_recipes", plan, *options, output=tmp_path / "out")
        run.wait_for(lambda before=before: iterations() > before)
        os.kill(run.pid, number)
        assert run.wait() == 128 + number, run.text[-600:]
        stopped = re.findall(r"stopped by (\w+) after (\d+) iterations, saved", log.read_text())
        assert stopped[-1] == (signal.Signals(number).name, str(iterations()))
    assert len(stopped) == 2 and f"after {stopped[0][1]} iterations" in log.read_text()
    assert not (log.parent / "result.json").exists()


def test_what_a_plan_lacks_and_who_is_unknown_is_said(plan, tmp_path):
    with pytest.raises(ValueError, match=r"no recipes best in .*; choose of mmgen, resize, base"):
        Plan(plan, tmp_path, tmp_path, dict(recipes=["best"]))
    text = plan.read_text("utf-8")
    plan.write_text(text.replace('"mmgen", "resize"]', '"mmgen", "rezise"]'), "utf-8")
    with pytest.raises(ValueError, match=r"no recipes rezise in .*; choose of mmgen, resize, base"):
        Plan(plan, tmp_path, tmp_path)
    plan.write_text("base = 'x.py'\n", "utf-8")
    with pytest.raises(ValueError, match="names base; expected base, common, iterations"):
        Plan(plan, tmp_path, tmp_path)


def test_every_recipe_of_the_shipped_plan_has_a_model_for_every_set(tmp_path):
    plan = Plan(ROOT / "configs" / "recipes" / "cpu_128x128.py", tmp_path)
    weights, rates, aids = set(), {}, {}
    for data in plan.sets:
        for recipe in plan.recipes:
            cfg = plan.config(Run(recipe, data, 1))
            build_model({**cfg.model, "discriminator": None})
            assert cfg.domains == cfg.model.domains == plan.sets[data]["domains"]
            rates.setdefault(recipe, []).append([part.lr for part in cfg.optimizer.values()][:2])
            aids.setdefault(recipe, []).append(
                (
                    cfg.model.generator.get("smoothing", 0),
                    cfg.model.generator.get("semantics", 0),
                    cfg.model.get("source_negatives", 0),
                    cfg.model.get("discriminator_augment"),
                )
            )
            if recipe == "default":
                weights.add((data, cfg.model.cycle_weight))
    assert weights == {("monet2photo", 10.0), ("horse2zebra", 5.0)}
    # A core for each set, and a minute to measure a run: a night.
    assert len(list(plan.runs())) / len(plan.sets) * (plan.minutes + 1) <= 8 * 60
    # Whatever the default's and a set's own are.
    assert aids["default"] == [(each, 2, 1.0, "scale,noise") for each in (0, 4)]
    for recipe in ("paper", "patchgan", "fastcut"):
        assert aids[recipe] == [(0, 0, 0, None)] * 2, recipe
    assert rates["paper"] == rates["patchgan"] == rates["one_rate"] == [[2e-4, 2e-4]] * 2


def test_seeds_take_turns_and_a_mean_has_its_spread(plan, tmp_path):
    runs = list(Plan(plan, tmp_path, tmp_path).runs())
    assert [run.seed for run in runs] == [1, 1, 1, 2, 2]
    assert [run.recipe for run in runs[3:]] == ["mmgen", "resize"]
    asked = list(Plan(plan, tmp_path, tmp_path, dict(recipes=["base"], seeds=[2])).runs())
    assert asked == [Run("base", "crops", 2)]
    assert mean_and_spread([0.1, 0.2]) == "0.150 +-0.050"
    assert mean_and_spread([0.1]) == "0.100"
