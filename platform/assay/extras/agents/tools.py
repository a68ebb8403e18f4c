"""The tools of `assay mcp`, and the bounds that a person set for them.

They are made of the functions of ``import assay`` and answer as `--json` does. A request beyond the bounds is
an :class:`OutOfBoundsError`, which is noted in the storage with the agent's name. One run is at work at a
time, in a process of its own, so that it outlives the agent's session. It ends when the hours are over.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from assay.api.opened_storage import OpenedStorage
from assay.api.planning import read_plan, read_plan_and_promises
from assay.cli.plan import answer_of_plan, known_records, this_machine
from assay.cli.status import status_now, status_of_all
from assay.cli.studies import answer_of_settings
from assay.extras.agents.answers import AgentReportAnswer, LedgerAnswer, agent_report, agents_line
from assay.extras.agents.requests import agent_requests, hours_spent, note_request
from assay.extras.agents.terms import OutOfBoundsError, Terms
from assay.report.answers.results import PairAnswer, pair_answer
from assay.statistics.wording import number_text
from assay.storage.lease import holder
from assay.storage.preregistration import read_preregistrations
from assay.storage.search_points import with_points
from assay.study import Plan, Study, read_study
from assay.study.settings.methods import file_references
from trainables.errors import InputError
from trainables.plugins.method_files import is_file_reference

if TYPE_CHECKING:
    from assay.analysis.results.results import StudyResults
    from assay.report.answers.checks import SettingsAnswer
    from assay.report.answers.plans import PlanAnswer
    from assay.report.answers.progress import StatusAnswer

__all__ = ["AgentTools"]

_LEAST_SECONDS = 30.0  # of a budget, for which a run is begun
_POLL_SECONDS = 0.2
_MOST_MINUTES = 10.0  # of one call of `wait`
_EXPLORATORY = "exploratory"


class AgentTools:
    """Calls that an agent may make, each from a thread of its own."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self._store = terms.store
        self._starting = threading.Lock()
        self._runs: list[subprocess.Popen[bytes]] = []

    def validate(self, file: str) -> PlanAnswer:
        """Check a study without its data."""
        planned = self._plan(self._study(file), with_data=False)
        return answer_of_plan(planned, self._store, {}, known=False, listed=False)

    def plan(self, file: str, *, forecast: bool) -> PlanAnswer:
        """List cells, comparisons and trials that are done; with a forecast, hours and memory of the rest."""
        terms = self.terms
        planned, promises = read_plan_and_promises(
            self._study(file), data=terms.data, cache=terms.cache, say=lambda text: None
        )
        planned = with_points(planned, self._store)
        ended = known_records(planned, self._store)
        answer = answer_of_plan(planned, self._store, ended, known=True, listed=False, promises=promises)
        if not forecast:
            return answer
        from assay.forecast.timing import forecast_study

        machine = this_machine(planned, terms.data, terms.cache)
        return answer.with_forecast(forecast_study(planned, self._store, machine, lambda text: None))

    def start(self, file: str, client: str) -> StatusAnswer:
        """Begin to train what is missing of a study, and return once it has begun."""
        study = self._study(file)

        # One start at a time: two that look at the budget together would both spend its last hours.
        with self._starting:
            self._refuse_name_of_others(study.study)
            planned = self._plan(study)  # an unsound study spends nothing
            self._refuse_second_run()
            seconds = 3600 * (self.terms.budget_hours - hours_spent(self._store))
            if seconds < _LEAST_SECONDS:
                spent = self.terms.budget_hours - seconds / 3600
                raise OutOfBoundsError(
                    f"the budget is {self.terms.budget_hours:g} h, found {number_text(spent)} h spent by "
                    "runs of agents. Only the person who starts the server raises --budget-hours."
                )

            # All that is left counts as spent until the run has ended and says what it took: one that is
            # killed gives nothing back by itself.
            name = note_request(self._store, client, "start", study.study, seconds=seconds, plan=planned)
            plan = f"{self._store.study(study.study)}/plan.parquet"
            before = self._store.stamp(plan)
            run = self._run(study, client, name, seconds)
            # The lease comes first; then the plan, which `status` reads.
            while run.poll() is None and (
                holder(self._store, study.study) is None or self._store.stamp(plan) == before
            ):
                time.sleep(_POLL_SECONDS)
        error = agent_requests(self._store)[name].error
        if error:
            raise InputError(error)
        return self.status(study.study)

    def status(self, name: str) -> StatusAnswer:
        """State of one study."""
        for run in self._runs:
            run.poll()  # one that has ended is no process any more
        return status_now(self._store, self._stored(name))

    def ledger(self) -> LedgerAnswer:
        """A line for each study, and all that agents asked for."""
        return LedgerAnswer(**dict(status_of_all(self._store)), agents=agents_line(self._store))

    def wait(self, name: str, minutes: float) -> StatusAnswer:
        """State of a study once it is over or nobody runs it, or after some minutes."""
        until = time.monotonic() + 60 * min(minutes, _MOST_MINUTES)
        while (status := self.status(name)).held and not status.over and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
        return status

    def report(self, name: str) -> AgentReportAnswer:
        """Numbers of a study's report, and the changes that are shown in spite of all the trying."""
        return agent_report(self._results(name))

    def compare(self, left: str, right: str) -> PairAnswer:
        """Two studies side by side. Nobody registered these comparisons: they show nothing."""
        from assay.analysis.study_pair import pair_studies

        answer = pair_answer(pair_studies(self._results(left), self._results(right)))
        rows = tuple(
            row.model_copy(
                update={
                    "verdict": _EXPLORATORY,
                    "sentence": f"{_EXPLORATORY}:{row.sentence.partition(':')[2]}",
                }
            )
            for row in answer.comparisons
        )
        return answer.model_copy(update={"comparisons": rows})

    def settings(self, method: str | None, name: str | None) -> SettingsAnswer:
        """Methods and blocks of the study file, or the settings of one."""
        if method is not None and is_file_reference(method):
            raise _code_is_refused(method)
        return answer_of_settings(method, name)

    def look(self, name: str, cell: str, images: list[str] | None) -> bytes:
        """Draw validation images as a PNG: decision and known truth of a cell's kept model."""
        from assay.extras.agents.validation_picture import validation_picture

        return validation_picture(self._results(name), self.terms, cell, images)

    def _study(self, file: str) -> Study:
        """The study of a file in the folder for agents, whose text is read once."""
        path = self.terms.studies / file

        # A bare name, of a file that lies in the folder itself: a path or a link would lead out of it.
        is_name = Path(file).name == file and "\0" not in file
        if not is_name or not self._is_inside(path):
            raise OutOfBoundsError(
                f"a study is named by its file in the folder for agents, such as `mine.yaml`, found {file!r}"
            )
        if path.suffix not in (".yaml", ".yml") or not os.path.isfile(path):  # of a name too long, too
            there = sorted(
                each.name
                for each in self.terms.studies.iterdir()
                if each.suffix in (".yaml", ".yml") and self._is_inside(each)
            )
            raise InputError(
                f"there is no study file {file!r} in the folder for agents. It holds: "
                f"{', '.join(there) or 'none'}."
            )
        study = read_study(path)

        # A method in a file is code, which the agent may have written: none of it is run.
        for reference in file_references(study):
            raise _code_is_refused(reference)
        return study

    def _is_inside(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self.terms.studies)

    def _plan(self, study: Study, *, with_data: bool = True) -> Plan:
        planned = read_plan(
            study, data=self.terms.data, cache=self.terms.cache, with_data=with_data, say=lambda text: None
        )
        return with_points(planned, self._store) if with_data else planned

    def _stored(self, name: str) -> str:
        """A study's name, if the storage holds one of that name."""
        known = self._store.studies()
        if name not in known:
            if Path(name).name != name:
                raise OutOfBoundsError(f"a study of the storage is named by its name, found {name!r}")
            raise InputError(f"the storage holds no study {name!r}. It holds: {', '.join(known) or 'none'}.")
        return name

    def _results(self, name: str) -> StudyResults:
        return OpenedStorage(self._store).study(self._stored(name)).results

    def _refuse_name_of_others(self, name: str) -> None:
        """Keep an agent from changing the question of a person's study."""
        entries = read_preregistrations(self._store, name)
        if not entries and name not in self._store.studies():
            return
        if not entries or not all(entry.asked_by for entry in entries):
            raise OutOfBoundsError(f"the study {name} of this storage is a person's: give yours another name")

    def _refuse_second_run(self) -> None:
        for request in agent_requests(self._store).values():
            if not request.ended and holder(self._store, request.study) is not None:
                raise OutOfBoundsError(f"one run at a time, found {request.study} at work: `wait` for it")

    def _run(self, study: Study, client: str, request: str, seconds: float) -> subprocess.Popen[bytes]:
        """Begin a run in a session of its own: it goes on when the agent's has ended."""
        terms = self.terms
        order = {
            "study": study.source.text,
            "origin": study.source.origin,
            "storage": self._store.uri,
            "data": None if terms.data is None else str(terms.data),
            "cache": str(terms.cache),
            "local": terms.local,
            "processes": terms.processes,
            "cpus": terms.cpus,
            "asked_by": client,
            "request": request,
            "seconds": seconds,
        }
        run = subprocess.Popen(
            [sys.executable, "-m", "assay.extras.agents.training"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert run.stdin is not None, "it was asked for"
        with run.stdin as pipe:
            pipe.write(json.dumps(order).encode())
        self._runs.append(run)
        return run


def _code_is_refused(reference: str) -> OutOfBoundsError:
    return OutOfBoundsError(
        f"an agent's study names installed methods, found the file {reference}: its code would run where "
        "test images lie. A person installs it as a package, or runs it with `assay run`."
    )
