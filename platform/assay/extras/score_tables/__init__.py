"""Tables of scores in the layouts and spellings of other programs, for `assay judge`.

Exports of W&B, MLflow, Optuna and Ray Tune, a column for each cell as autorank takes it, numbers as people
write them, and names that tell what is a score, a setting, a mean or an epoch. The page is ``README.md``.
"""

from assay.extras import Extra

EXTRA = Extra(
    name="score_tables",
    summary="Tables of scores as trackers and people write them, for `assay judge`.",
    score_tables="assay.extras.score_tables.layouts:tidy_scores",
)
