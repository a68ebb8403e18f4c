"""`assay bundle`: what goes into the archive, and what never does."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from urllib.parse import unquote

import pytest

from assay.extras.bundle import METADATA
from assay.extras.bundle.archive import archive_bytes
from assay.extras.bundle.tests.forging import PHOTO
from assay.storage import Store
from assay.storage.check.storage_format import FORMAT_FILE
from tests.cli.small_study import Assay
from tests.conftest import ROOT
from tests.helpers.mounting import in_own_mounts
from trainables.errors import InputError
from trainables.segdec import TRAINABLE as SEGDEC


def test_equal_studies_on_other_paths_give_equal_bytes(
    assay: Assay, bundle_store: Store, bundled: dict[str, bytes], tmp_path: Path
) -> None:
    elsewhere = tmp_path / "another" / "place"
    shutil.copytree(bundle_store.uri, elsewhere)
    file = tmp_path / "small.zip"
    output = assay("bundle", "small", "--storage", elsewhere, "--output", file)
    assert output.code == 0, output.err
    assert file.read_bytes() == archive_bytes(bundled)
    assert "12 records of small" in output.out


def test_its_check_works_as_it_is_printed(
    assay: Assay, bundle_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    output = assay("bundle", "small", "--storage", bundle_store.uri, "--output", "sub dir/my b.zip")
    printed = output.out.splitlines()[-1].split("`")[1]
    assert assay(*shlex.split(printed)[1:]).code == 0


@pytest.mark.parametrize(
    ("form", "path"), [("html", "report.html"), ("csv", "report_comparisons.csv"), ("md", "report.md")]
)
def test_its_report_is_the_one_that_the_storage_gives(  # noqa: PLR0917 - four fixtures and two cases
    assay: Assay, bundle_store: Store, bundled: dict[str, bytes], tmp_path: Path, form: str, path: str
) -> None:
    output = assay("report", "small", "--storage", bundle_store.uri, "--output", tmp_path / f"report.{form}")
    assert output.code == 0, output.err
    assert bundled[f"report/{path}"] == (tmp_path / path).read_bytes()
    assert b"Gone:" not in bundled[f"report/{path}"]


def test_no_image_is_inside_and_what_stays_out_is_listed(bundled: dict[str, bytes]) -> None:
    assert not any(PHOTO in content for content in bundled.values())
    assert set(json.loads(bundled["left_out.json"]).values()) == {len(PHOTO)}
    rows = next(content for path, content in bundled.items() if path.startswith("manifests/"))
    assert len(json.loads(rows)["rows"]) == 48


def test_studies_of_the_same_question_are_inside_with_what_the_ledger_reads(
    bundled: dict[str, bytes],
) -> None:
    assert b"Test log of 2 studies" in bundled["report/report.md"]
    of_other = {path for path in bundled if path.startswith("storage/studies/again/")}
    assert of_other == {f"storage/studies/again/{name}" for name in ("registered.json", "summary.parquet")}


def test_a_uri_is_no_place_for_a_bundle(assay: Assay, tmp_path: Path) -> None:
    output = assay("bundle", "small", "--output", "s3://u:c4nary@b/x.zip", "--storage", tmp_path)
    assert output.code == 2
    assert "it is a path on this machine, found the URI s3://***@b/x.zip" in output.err


def test_a_storage_of_another_format_is_refused(assay: Assay, bundle_store: Store, tmp_path: Path) -> None:
    other = shutil.copytree(bundle_store.uri, tmp_path / "other")
    (other / FORMAT_FILE).write_text('{"format": 2, "since": "0.9"}')
    output = assay("bundle", "small", "--output", tmp_path / "x.zip", "--storage", other)
    assert output.code == 2
    assert f"found format 2 in {other}. Use the version of assay that wrote it" in output.err
    assert not (tmp_path / "x.zip").exists()


def test_a_full_disk_is_named_with_the_file_and_leaves_no_half_of_a_bundle(
    bundle_store: Store, tmp_path: Path
) -> None:
    words = ["bundle", "small", "--output", "b.zip", "--storage", bundle_store.uri]
    cases = {"bundle": [*words, "--cache", str(tmp_path / "cache")]}
    program = [sys.executable, "-m", "tests.cli.full_disk", str(tmp_path), json.dumps(cases)]
    done = subprocess.run(in_own_mounts(program), capture_output=True, text=True, cwd=ROOT, check=True)
    answer = json.loads(done.stdout)["bundle"]
    assert (answer["code"], answer["left"]) == (2, [])
    assert "error: b.zip cannot be written: No space left on device." in answer["said"]


@pytest.fixture
def unpacked(bundled: dict[str, bytes], tmp_path: Path) -> Path:
    """The storage of a bundle that somebody has unpacked."""
    for name, content in bundled.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path / "storage"


def test_what_stays_out_is_no_damage_of_the_unpacked_storage(assay: Assay, unpacked: Path) -> None:
    output = assay("check", "--storage", unpacked)
    assert output.code == 0, output.out
    assert "12 records, 0 stages, 1 study read: all sound" in output.out
    assert (
        "13 files more were left out of this copy" in output.out
    )  # maps of 12 trials, and a plan of the ledger


def test_clean_goes_by_the_studies_whose_plans_are_in_the_bundle(assay: Assay, unpacked: Path) -> None:
    output = assay("clean", "--storage", unpacked)
    assert output.code == 0, output.err
    assert "would free" in output.out


@pytest.mark.parametrize("command", [("status", "--once"), ("report",)])
def test_a_study_of_the_ledger_whose_plan_stayed_out_is_named_as_that(
    assay: Assay, unpacked: Path, command: tuple[str, ...]
) -> None:
    (other,) = (
        path.name for path in (unpacked / "studies").iterdir() if not (path / "plan.parquet").exists()
    )
    output = assay(*command, other, "--storage", unpacked)
    assert output.code == 2
    assert "was left out of this copy of a storage" in " ".join(output.err.split())


@pytest.mark.parametrize("lost", ["predictions.parquet", "plan.parquet"])
def test_what_a_bundle_holds_is_missed_where_it_is_gone(assay: Assay, unpacked: Path, lost: str) -> None:
    path = next(path for path in sorted(unpacked.rglob(lost)))
    path.unlink()
    output = assay("check", "--storage", unpacked)
    assert output.code == 1
    assert f"{path.relative_to(unpacked)} is gone" in output.out.replace("\n", "")


def test_it_says_with_which_versions_and_under_which_licences(bundled: dict[str, bytes]) -> None:
    program = json.loads(bundled["program.json"])
    assert len(program["source_hash"]) == 64
    assert program["methods"] == {"segdec": SEGDEC.revision}
    assert f"numpy=={program['packages']['numpy']}\n" in bundled["requirements.txt"].decode()
    assert "Apache-2.0" in bundled["LICENCES.md"].decode()


def test_the_description_keeps_the_rules_of_ro_crate(bundled: dict[str, bytes]) -> None:
    crate = json.loads(bundled[METADATA])
    entities = {entity["@id"]: entity for entity in crate["@graph"]}
    assert len(entities) == len(crate["@graph"])
    assert crate["@context"][0] == "https://w3id.org/ro/crate/1.1/context"
    assert entities[METADATA]["about"] == {"@id": "./"}
    assert entities[METADATA]["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    root = entities["./"]
    assert {"name", "description", "license"} <= root.keys()
    assert date.fromisoformat(root["datePublished"]) == date(2025, 1, 2)
    parts = {unquote(part["@id"]) for part in root["hasPart"]}
    assert parts == bundled.keys() - {METADATA}
    named = {each["@id"] for entity in crate["@graph"] for each in _references(entity)}
    assert named - entities.keys() == {"https://w3id.org/ro/crate/1.1"}


def _references(entity: dict[str, object]) -> list[dict[str, str]]:
    values = [value if isinstance(value, list) else [value] for value in entity.values()]
    return [each for of_key in values for each in of_key if isinstance(each, dict)]


@pytest.mark.parametrize(("name", "most"), [("MOST_FILES", 1), ("MOST_BYTES", 100)])
def test_an_archive_that_verify_would_refuse_is_not_written(
    monkeypatch: pytest.MonkeyPatch, name: str, most: int
) -> None:
    monkeypatch.setattr(f"assay.extras.bundle.archive.{name}", most)
    with pytest.raises(InputError, match="found 2 files and"):
        archive_bytes({"a": b"a", "b": b"b"})


@pytest.mark.parametrize(
    ("study", "file", "error"),
    [
        ("small", "small.tar", "a bundle is a zip archive, found --output"),
        ("smal", "small.zip", "Did you mean small?"),
    ],
)
def test_a_bundle_that_cannot_be_is_refused(  # noqa: PLR0917 - three fixtures and three cases
    assay: Assay, bundle_store: Store, tmp_path: Path, study: str, file: str, error: str
) -> None:
    output = assay("bundle", study, "--storage", bundle_store.uri, "--output", tmp_path / file)
    assert output.code == 2
    assert error in output.err
    assert not (tmp_path / file).exists()
