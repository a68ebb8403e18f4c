"""`assay bundle` and `assay verify`: the commands, whose libraries load when they run."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from assay.cli.options import (
    DEFAULT_CACHE,
    DEFAULT_STORAGE,
    Cache,
    Data,
    Storage,
    StoredStudy,
    as_path,
    study_name,
)
from assay.cli.output import check_output, console, replace_file, size
from trainables.errors import InputError

__all__ = ["bundle", "verify"]

ArchiveFile = Annotated[
    Path,
    typer.Option("--output", metavar="FILE", parser=as_path, help="The archive; it ends with .zip."),
]
Archive = Annotated[
    Path, typer.Argument(metavar="BUNDLE", parser=as_path, help="An archive that `assay bundle` wrote.")
]


def bundle(
    study: StoredStudy,
    *,
    output: ArchiveFile,
    data: Data = None,
    cache: Cache = DEFAULT_CACHE,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Write a study as one archive for reviewers: question, plan, records, report, versions, no image.

    Its data must be at hand (--data): the archive names each image and mask with its sha256. It is an
    RO-Crate, and equal studies give equal bytes.
    """
    from assay.extras.bundle.archive import archive_bytes
    from assay.extras.bundle.write import bundle_files
    from assay.storage import Store
    from assay.study.names import counted
    from trainables.data import open_manifest

    if output.suffix.lower() != ".zip":
        raise InputError(
            f"a bundle is a zip archive, found --output {output}. Name a file that ends with .zip."
        )
    check_output(output)
    store = Store.open(storage)
    name = study_name(store, study)
    files = bundle_files(store, name, lambda spec: open_manifest(spec, data, cache))
    content = archive_bytes(files)
    replace_file(output, content)
    records = sum(path.endswith("/record.json") for path in files)
    typer.echo(f"{output}: {counted(records, 'record')} of {name}, {len(files)} files, {size(len(content))}")
    typer.echo(f"check it anywhere: `assay verify {shlex.quote(str(output))}`")


def verify(archive: Archive) -> None:
    """Check a bundle: every file's sha256, the plan, the preregistration and the report, made again.

    Exit code 0: all is equal; 1: something differs, and is named; 2: it is no bundle. Nothing in it is run.
    """
    from assay.extras.bundle.verify import verify_bundle
    from assay.study.names import counted

    result, out = verify_bundle(archive), console()
    for text in result.differences:
        out.print(text, style="red")
    for text in result.notes:
        out.print(f"note: {text}")
    checked = f"{counted(result.files, 'file')}, {counted(result.trials, 'record')}"
    if result.differences:
        differences = counted(len(result.differences), "difference")
        out.print(f"{result.study or archive.name}: {differences} ({checked})")
        raise typer.Exit(1)
    out.print(f"{result.study}: plan, preregistration and report follow from the records ({checked})")
