"""The description of a bundle for other programs: RO-Crate 1.1, which is JSON-LD (w3id.org/ro/crate/1.1).

It is a function of the bundle's files, its study and the program that wrote it. So it is made again, and
compared, when a bundle is verified.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from assay.analysis.results.results import StudyResults
from assay.extras.bundle import METADATA, REPORT, STORAGE
from assay.extras.bundle.program import Program
from trainables.errors import InputError

__all__ = ["FileFacts", "crate_bytes", "crate_facts", "facts_of"]

_CONTEXT = [
    "https://w3id.org/ro/crate/1.1/context",
    {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"},
]
_KINDS = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
    ".py": "text/x-python",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".yaml": "application/yaml",
}
_LICENCES = "LICENCES.md"
_NO_DATE = datetime(1980, 1, 1, tzinfo=UTC)  # of records that do not say when they ended


class FileFacts(NamedTuple):
    """Facts of a file of the bundle."""

    sha256: str
    size: int  # bytes


def facts_of(files: Mapping[str, bytes]) -> dict[str, FileFacts]:
    """Path → facts of each file but the description itself."""
    return {
        path: FileFacts(hashlib.sha256(content).hexdigest(), len(content))
        for path, content in files.items()
        if path != METADATA
    }


def crate_bytes(facts: Mapping[str, FileFacts], results: StudyResults, program: Program) -> bytes:
    """Write the description of a bundle's files.

    Args:
        facts: Path → facts of each file.
        results: The study.
        program: The program that wrote the report.
    """
    graph = [
        {
            "@id": METADATA,
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        },
        _root(facts, results),
        *(_file(path, each) for path, each in sorted(facts.items())),
        *_actions(facts, results, program),
    ]
    return json.dumps({"@context": _CONTEXT, "@graph": graph}, indent=1, ensure_ascii=False).encode()


def crate_facts(content: bytes) -> dict[str, FileFacts]:
    """Path → facts of each file that a description lists.

    Raises:
        InputError: If it is no such description.
    """
    try:
        entities = json.loads(content)["@graph"]
        return {
            unquote(entity["@id"]): FileFacts(str(entity["sha256"]), int(entity["contentSize"]))
            for entity in entities
            if entity["@type"] == "File"
        }
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{METADATA} describes no bundle ({error!r}). Fetch the bundle again.") from None


def _root(facts: Mapping[str, FileFacts], results: StudyResults) -> dict[str, Any]:
    return {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Study {results.name}",
        "description": " ".join(results.plan.study.question.split()) or f"The study {results.name} of assay.",
        "datePublished": _last(results).date().isoformat(),
        "license": {"@id": _LICENCES},
        "mainEntity": {"@id": f"{REPORT}/report.html"},
        "hasPart": [{"@id": quote(path)} for path in sorted(facts)],
        "mentions": [{"@id": "#training"}, {"@id": "#report"}],
    }


def _file(path: str, facts: FileFacts) -> dict[str, Any]:
    return {
        "@id": quote(path),
        "@type": "File",
        "name": path,
        "encodingFormat": _KINDS.get(PurePosixPath(path).suffix, "application/octet-stream"),
        "contentSize": str(facts.size),
        "sha256": facts.sha256,
    }


def _actions(
    facts: Mapping[str, FileFacts], results: StudyResults, program: Program
) -> Iterator[dict[str, Any]]:
    """Entities of the training and of the report, and the programs that did them."""
    # Two steps are told apart, since their programs may differ: the training, by several versions if it was
    # interrupted, and the report that was made of it.
    trained = sorted(
        {
            (env.versions.get("assay", ""), env.source_hash, env.commit)
            for env in (record.environment for record in results.records.values())
        }
    )
    programs = {f"program-{number}": each for number, each in enumerate(trained, start=1)}
    records = _references(path for path in sorted(facts) if path.endswith("/record.json"))
    study = f"{STORAGE}/studies/{results.name}/study.yaml"
    yield {
        "@id": "#training",
        "@type": "CreateAction",
        "name": "Training of all trials",
        "instrument": _references(f"#{id_}" for id_ in programs),
        "object": {"@id": quote(study)},
        "result": records,
        "endTime": _last(results).isoformat(),
    }
    yield {
        "@id": "#report",
        "@type": "CreateAction",
        "name": "Report made from the records",
        "instrument": {"@id": "#program"},
        "object": records,
        "result": _references(path for path in sorted(facts) if path.startswith(f"{REPORT}/")),
    }
    reporter = (program.version, program.source_hash, program.commit)
    for id_, (version, source, commit) in {"program": reporter, **programs}.items():
        yield {
            "@id": f"#{id_}",
            "@type": "SoftwareApplication",
            "name": "assay",
            "softwareVersion": version or "unknown",
            "identifier": f"source sha256 {source or 'unknown'}, commit {commit or 'unknown'}",
            **({"softwareRequirements": {"@id": "requirements.txt"}} if id_ == "program" else {}),
        }


def _references(ids: Iterable[str]) -> list[dict[str, str]] | dict[str, str]:
    """Refer to entities; to a single one without a list, as compact JSON-LD does."""
    references = [{"@id": quote(id_, safe="/#")} for id_ in ids]
    return references if len(references) > 1 else references[0]


def _last(results: StudyResults) -> datetime:
    return max((record.ended or _NO_DATE for record in results.records.values()), default=_NO_DATE)
