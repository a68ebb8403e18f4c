"""Studies as jobs of Slurm: ``assay slurm STUDY``."""

from assay.extras import Extra

EXTRA = Extra(
    name="slurm",
    summary="Studies as jobs of Slurm, which start Ray on their nodes.",
    commands={"assay slurm quickstart --storage /shared/assay": "assay.extras.slurm.command:slurm"},
)
