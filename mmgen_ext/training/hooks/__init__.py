"""Hooks that configs name; registered in mmcv's HOOKS."""

from .ema import GeneratorEMAHook
from .evaluation import EvaluationHook
from .gallery import GalleryHook
from .health import HealthHook
from .loss_schedule import LossScheduleHook
from .lr import ConstantThenLinearLrUpdaterHook
from .progress import ProgressHook
from .report import ReportHook

__all__ = [
    "ConstantThenLinearLrUpdaterHook",
    "EvaluationHook",
    "GalleryHook",
    "GeneratorEMAHook",
    "HealthHook",
    "LossScheduleHook",
    "ProgressHook",
    "ReportHook",
]
