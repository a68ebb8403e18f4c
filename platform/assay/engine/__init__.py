"""The engine: plans become records through Ray Tune and Ray Train. The only package that imports Ray.

``hold_study`` takes the lease of a study, and ``train_missing`` trains what is missing while it is held: see
``run.py`` for the path from there. :func:`assay.api.running.train` is what a run does before and after.
"""

from assay.engine.options import EngineOptions, Outcome
from assay.engine.run import HeldStudy, hold_study, train_missing

__all__ = ["EngineOptions", "HeldStudy", "Outcome", "hold_study", "train_missing"]
