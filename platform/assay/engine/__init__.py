"""The engine: plans become records through Ray Tune and Ray Train. The only package that imports Ray.

``run_study(plan, store, options)`` trains what is missing. See ``run_study.py`` for the path from there.
"""

from assay.engine.options import EngineOptions, Outcome
from assay.engine.run_study import run_study

__all__ = ["EngineOptions", "Outcome", "run_study"]
