"""Child registries of mmgen's: a config names our components as `mmgen_ext.<Name>`."""

from mmcv.utils import Registry
from mmgen.datasets.builder import DATASETS as MMGEN_DATASETS
from mmgen.datasets.builder import PIPELINES as MMGEN_PIPELINES
from mmgen.models.builder import MODELS as MMGEN_MODELS
from mmgen.models.builder import MODULES as MMGEN_MODULES

SCOPE = "mmgen_ext"

MODELS = Registry("model", parent=MMGEN_MODELS, scope=SCOPE)
MODULES = Registry("module", parent=MMGEN_MODULES, scope=SCOPE)
DATASETS = Registry("dataset", parent=MMGEN_DATASETS, scope=SCOPE)
PIPELINES = Registry("pipeline", parent=MMGEN_PIPELINES, scope=SCOPE)
