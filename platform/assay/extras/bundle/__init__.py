"""A study as one archive for reviewers: ``assay bundle`` writes it, ``assay verify`` recomputes it.

::

    ro-crate-metadata.json     what each file is, its size and sha256 (RO-Crate 1.1)
    README.md  LICENCES.md
    program.json               version and source hash of assay, packages, revisions of methods
    requirements.txt           versions of all packages that were installed
    left_out.json              files of trials that are not here: photos, maps, models, with their sizes
    manifests/<hash>.json      data sets: names, labels, items and sha256 of images and masks; no image
    report/                    the report as HTML, Markdown and CSV, with pictures
    storage/                   storage.json, studies/ and trials/ as they lie in a storage

The archive is made of a storage, and holds a small one: who verifies it reads that as any other. Files are
stored as they are (zip without compression), sorted, under one fixed date. So equal studies give equal bytes,
every byte of the archive can be checked, and nothing unfolds into more than was downloaded.
"""

from __future__ import annotations

from assay.extras import Extra

__all__ = ["EXTRA", "MANIFESTS", "METADATA", "PROGRAM", "REPORT", "STORAGE"]

METADATA = "ro-crate-metadata.json"
PROGRAM = "program.json"
MANIFESTS = "manifests"
REPORT = "report"
STORAGE = "storage"

EXTRA = Extra(
    name="bundle",
    summary="A study as one archive for reviewers, and its check.",
    commands={
        "assay bundle quickstart --output quickstart.zip": "assay.extras.bundle.command:bundle",
        "assay verify quickstart.zip": "assay.extras.bundle.command:verify",
    },
)
