"""Studies: the YAML file, its design, and the plan of trials made from it. Pure Python, no Ray.

>>> study = read_study(Path("studies/quickstart.yaml"))
>>> plan = plan_study(study, open_manifest=None, device="cpu")
"""

from assay.study.cells import Cell, Trial
from assay.study.compare import Comparison
from assay.study.editors import study_schema
from assay.study.plan import Plan
from assay.study.planner import plan_study
from assay.study.points import Point, PointCell, SearchedCell
from assay.study.reading import parse_study, read_study
from assay.study.repeats import ManifestSummary
from assay.study.reported import ReportedPlan, reported_plan
from assay.study.schema import Study
from assay.study.search_plan import SearchPlan

__all__ = [
    "Cell",
    "Comparison",
    "ManifestSummary",
    "Plan",
    "Point",
    "PointCell",
    "ReportedPlan",
    "SearchPlan",
    "SearchedCell",
    "Study",
    "Trial",
    "parse_study",
    "plan_study",
    "read_study",
    "reported_plan",
    "study_schema",
]
