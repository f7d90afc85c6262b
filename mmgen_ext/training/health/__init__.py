"""What can go wrong in a training that goes on, how it is measured, and what to do."""

from .detectors import DETECTORS, Detector, Watch, choose_detectors, describe

__all__ = ["DETECTORS", "Detector", "Watch", "choose_detectors", "describe"]
