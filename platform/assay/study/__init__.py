"""Studies: the YAML file, its design, and the plan of trials made from it. Pure Python, no Ray.

>>> study = read_study(Path("studies/quickstart.yaml"))
>>> plan = plan_study(study, open_manifest=None, device="cpu")
"""

from assay.study.file.editors import study_schema
from assay.study.file.reading import parse_study, read_study
from assay.study.file.schema import Study
from assay.study.planning.cells import Cell, Trial
from assay.study.planning.compare import Comparison
from assay.study.planning.plan import Plan
from assay.study.planning.planner import plan_study
from assay.study.planning.repeats import ManifestSummary
from assay.study.planning.reported import ReportedPlan, reported_plan
from assay.study.search.points import Point, PointCell, SearchedCell
from assay.study.search.search_plan import SearchPlan

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
