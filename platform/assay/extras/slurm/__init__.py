"""Studies as jobs of Slurm: ``assay slurm STUDY``."""
