"""Names that say what they are: variants (cells) and changes (comparisons) in the words of the study.

>>> names = study_names(results)
>>> names.variant("masks=five stop=off distance=on")
'5 masks, no stop'
>>> names.change(result)
'5 masks instead of none'

A variant is called by what differs from the base. Words are those that the study file has below `says`; where
it has none they are made of the names of factor and level. Two variants of a study never have the same name,
nor have two changes. Names of cells (``masks=five stop=off``) stay the key in files, addresses and commands.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol

from assay.analysis.results.computed import computed
from assay.study.file.blocks import Factor, Level
from assay.study.names import LEFT_OUT as _OFF
from assay.study.planning.cells import Cell
from assay.study.search.points import PointCell
from assay.study.settings.nesting import NO_LEVEL

if TYPE_CHECKING:
    from assay.analysis.results.results import StudyResults
    from assay.statistics.families import ComparisonResult
    from assay.study.file.schema import Study
    from assay.study.planning.compare import Comparison

__all__ = [
    "Change",
    "StudyNames",
    "change_words",
    "instead_of",
    "is_plural",
    "plan_names",
    "sentence_case",
    "study_names",
    "variant_name",
]

_SHORT = 40  # signs of a name that fits a column
_MANY = 4  # switches, of which those that are off are named if they are fewer
_ON = {"on", "yes", "true", "with"}
# fmt: off
_NUMBERS = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
    "twenty",
]
# fmt: on
_QUANTITIES = {*_NUMBERS, "all", "few", "some", "many", "half", "most", "every"}


class _Planned(Protocol):
    """A plan, or the part of one that is reported."""

    @property
    def study(self) -> Study: ...
    @property
    def cells(self) -> Sequence[Cell]: ...
    @property
    def comparisons(self) -> Sequence[Comparison]: ...


@computed
def study_names(results: StudyResults) -> StudyNames:
    """The names of a study, of the cells of its plan and of those that are reported."""
    plan, reported = results.plan, results.reported
    cells = {cell.name: cell for cell in (*plan.designed, *plan.cells, *reported.cells)}
    return StudyNames(plan.study, tuple(cells.values()), reported.comparisons)


def plan_names(plan: _Planned) -> StudyNames:
    """The names of a plan, before there are results."""
    return StudyNames(plan.study, tuple(plan.cells), plan.comparisons)


def variant_name(results: StudyResults, cell: str) -> str:
    """Name of a cell: ``5 masks, no stop``."""
    return study_names(results).variant(cell)


def change_words(results: StudyResults, result: ComparisonResult) -> str:
    """Name of a comparison: ``5 masks instead of none``, ``gradient stop``."""
    return study_names(results).change(result)


def instead_of(after: str, before: str) -> str:
    """The one thing in the place of the other: ``5 masks instead of none``."""
    return str(Change(after, _without_shared_words(before, after)))


def sentence_case(text: str) -> str:
    """The text with a capital at its start, but for a symbol: ``Δ 0.1`` is another thing than ``δ 0.1``."""
    symbol = len(text.partition(" ")[0]) == 1 and not text.startswith("a ")
    return text if symbol else text[:1].upper() + text[1:]


class Change(NamedTuple):
    """A comparison in words, in parts that a sentence is made of."""

    after: str  # `gradient stop`, `5 masks`, `no stop`
    before: str = ""  # `none`; empty where `after` says it all
    beside: str = ""  # `5 masks`: where it was made, among several places
    part: str = ""  # what a switch has or has not: `gradient stop`; empty of other changes
    drops: bool = False  # the switch goes off

    def __str__(self) -> str:
        instead = f" instead of {self.before}" if self.before else ""
        return self.after + instead + (f" with {self.beside}" if self.beside else "")


@dataclass(frozen=True, eq=False)
class StudyNames:
    """The names of a study's variants and changes.

    Attributes:
        study: With the words.
        cells: All that may be asked for.
        comparisons: The planned ones: their pairs tell what has to be said to tell changes apart.
    """

    study: Study
    cells: Sequence[Cell]
    comparisons: Sequence[Comparison]

    def variant(self, cell: str) -> str:
        """Short name of a cell; the name itself of one that the study does not have."""
        return self._variants.get(cell, cell)

    def full_variant(self, cell: str) -> str:
        """The level of every factor in words, for a tooltip."""
        known = self._by_name.get(cell)
        words = [] if known is None else self._words_of(known.levels, known.levels)
        return ", ".join([*words, *self._point(known)]) if known is not None and words else self.variant(cell)

    def change(self, result: ComparisonResult) -> str:
        """Short name of a comparison, a main effect or an interaction."""
        averaged = result.cell_a is None and " × " not in result.comparison
        if averaged and result.claim != "data sets":
            return f"{self.parts(result)}, on average"
        return str(self.parts(result))

    def parts(self, result: ComparisonResult) -> Change:
        """The parts of the name, for a sentence."""
        if " × " in result.comparison:
            return Change(" × ".join(map(self._interacting, result.comparison.split(" × "))))
        if result.claim == "data sets":  # the words of the pairs are those of their data sets, too
            return self._step(result.comparison)._replace(beside=result.within)
        if result.cell_a is None or result.cell_b is None:
            return self._step(result.comparison)
        # A planned comparison has a name that no other has. Any other pair, or one whose name would stand
        # twice, keeps the words of its key.
        key = result.comparison, result.cell_b, result.cell_a
        return self._changes.get(key) or Change(", ".join(filter(None, (result.comparison, result.within))))

    def factor_words(self, factor: str) -> str:
        """The factor in words: ``distance weights``."""
        return self._factors[factor].words

    def level_words(self, factor: str, level: str) -> str:
        """The level in words: ``5 masks``, ``no stop``."""
        return self._factors[factor].levels.get(level, level)

    def level_column(self, factor: str, level: str) -> str:
        """The level in words below a heading that has the factor's: ``5`` below ``masks``."""
        return self._factors[factor].own_words.get(level, _plain(level))

    def some_levels(self, levels: Mapping[str, str], factors: Iterable[str]) -> str:
        """The levels of some factors in words: ``gradient stop, no distance weights``."""
        return ", ".join(self._words_of(levels, factors))

    def line(self, levels: Mapping[str, str], factors: Sequence[str]) -> str:
        """Name of a line beside a legend that is headed by the factors' words."""
        if len(factors) == 1:
            return self.level_column(factors[0], levels[factors[0]])
        return self.some_levels(levels, factors)

    def step(self, comparison: str) -> str:
        """A comparison in words, wherever it was made: ``gradient stop``."""
        return str(self._step(comparison))

    def place(self, result: ComparisonResult) -> str:
        """The levels, in words, that both variants of a comparison have; empty where there are none."""
        start, end = (self._by_name.get(name or "") for name in (result.cell_b, result.cell_a))
        if start is None or end is None:
            return result.within
        shared = {f: level for f, level in start.levels.items() if end.levels.get(f) == level}
        return self.some_levels(shared, shared)

    # Variants ------------------------------------------------------------------------------------------

    @cached_property
    def _by_name(self) -> dict[str, Cell]:
        return {cell.name: cell for cell in self.cells}

    @cached_property
    def _factors(self) -> dict[str, _FactorWords]:
        return {name: _FactorWords.of(name, factor) for name, factor in self.study.factors.items()}

    @cached_property
    def _varied(self) -> list[str]:
        """Factors in which cells differ."""
        return [
            factor
            for factor in self.study.factors
            if len({cell.levels.get(factor, NO_LEVEL) for cell in self.cells} - {NO_LEVEL}) > 1
        ]

    @cached_property
    def _switches(self) -> list[str]:
        """Factors that are there or not, where there are others to tell cells apart."""
        return [name for name in self._varied if self._factors[name].is_switch] * (len(self._varied) > 1)

    @cached_property
    def _base(self) -> dict[str, str]:
        """The level of each factor that needs no mention: the design's own, else one that saves words."""
        # A design says where it starts. Elsewhere the level that is off, or else the most frequent one,
        # needs no mention.
        design = self.study.design
        start = design.form.start(design.block) if design is not None else {}
        times = {factor: Counter(cell.levels[factor] for cell in self.cells) for factor in self._varied}
        base = {
            factor: start.get(factor)
            or max(self._factors[factor].levels, key=lambda level: (level in _OFF, n[level]))
            for factor, n in times.items()
        }

        # Switches are all off in the base, or all on if that is far shorter: of a mixture nobody would know
        # what is where.
        free = [
            factor
            for factor in self._varied
            if self._factors[factor].is_switch
            and len(self._factors[factor].levels) == 2
            and factor not in start
        ]
        signs = {
            there: sum(
                times[factor][level] * len(words)
                for factor in free
                for level, words in self._factors[factor].levels.items()
                if (level in _OFF) != there
            )
            for there in (True, False)
        }

        # Off needs no mention, unless names came out half as long again: what a variant has is easier to
        # read than what it lacks.
        off = signs[True] <= 1.5 * signs[False]
        base |= {f: next(level for level in self._factors[f].levels if (level in _OFF) == off) for f in free}
        return base

    @cached_property
    def _variants(self) -> dict[str, str]:
        """Cell → its name."""
        # Switches are mentioned where they differ from the base, data always, all else while names are short.
        names = self._named(self._switches)
        if len(self._varied) > 1 and max(map(len, names.values())) > _SHORT:
            names = self._named([name for name in self._varied if not self._factors[name].chooses_data])

        # A name that two cells would have says nothing: these have their keys.
        times = Counter(name.casefold() for name in names.values())
        return {cell: name if times[name.casefold()] == 1 else cell for cell, name in names.items()}

    def _named(self, silent: Collection[str]) -> dict[str, str]:
        """Cell → name, where the base's levels of the ``silent`` factors are left out."""
        return {cell.name: self._name(cell, silent) for cell in self.cells}

    def _name(self, cell: Cell, silent: Collection[str]) -> str:
        # What differs from the base is named; a long list of switches is said the short way round.
        words = self._words_of(self._different(cell.levels, silent), self._varied)
        if len(", ".join(words)) > _SHORT:
            words = self._all_but(cell) or words
        point = self._point(cell)
        # The cell that differs in nothing still needs a name: the method where the study has one cell only,
        # else that of the base.
        if words or (point and not self._varied):
            return ", ".join([*words, *point])
        if not self._varied:
            return cell.trainable.partition("@")[0]  # of a file without its hash
        return ", ".join([self._base_name(cell), *point])

    def _all_but(self, cell: Cell) -> list[str]:
        """Words where nearly all of many switches are on: ``class 1, all but CRF``; empty elsewhere."""
        # Few switches are quickly named one by one, and of two that are off neither is "the one".
        switches = [factor for factor in self._switches if cell.levels[factor] != NO_LEVEL]
        off = [factor for factor in switches if cell.levels[factor] in _OFF]
        on = {cell.levels[factor] for factor in switches if factor not in off}
        if len(switches) < _MANY or len(off) > 1 or not on <= _ON:
            return []
        others = self._words_of(cell.levels, [factor for factor in self._varied if factor not in switches])
        return [*others, f"all but {self.factor_words(off[0])}" if off else "all on"]

    def _different(self, levels: Mapping[str, str], silent: Collection[str]) -> dict[str, str]:
        """The levels without those of ``silent`` factors that are the base's."""
        return {
            factor: level
            for factor, level in levels.items()
            if factor not in silent or level != self._base[factor]
        }

    def _base_name(self, cell: Cell) -> str:
        """Name of the cell that differs from the base in nothing."""
        words = ", ".join(self._words_of(cell.levels, self._varied))
        if len(words) <= _SHORT:
            return words
        levels = {cell.levels[factor] for factor in self._varied} - {NO_LEVEL}
        return "all off" if levels <= _OFF else "all on" if levels <= _ON else "base"

    def _words_of(self, levels: Mapping[str, str], factors: Iterable[str]) -> list[str]:
        # Below the name of the only factor its name need not stand in each level again.
        alone = len(self.study.factors) == 1
        return [
            self._factors[factor].alone[levels[factor]] if alone else self.level_words(factor, levels[factor])
            for factor in factors
            if levels.get(factor, NO_LEVEL) != NO_LEVEL
        ]

    def _point(self, cell: Cell | None) -> list[str]:
        """Which point of a search a cell is, and of which search: ``fold 0``, ``point 3 on fresh seeds``."""
        if not isinstance(cell, PointCell):
            return []
        # The name of a point says all: the searched cell, its number, and whether it was trained again.
        part = cell.searched.partition(", ")[2]
        which = cell.name.removeprefix(cell.searched).strip()
        again = which.endswith(" replicated")
        number = which.removesuffix(" replicated")
        what = f"point {number[1:]}" if number.startswith("#") else number
        return [text for text in (part, f"{what} on fresh seeds" if again else what) if text]

    # Changes -------------------------------------------------------------------------------------------

    @cached_property
    def _changes(self) -> dict[tuple[str, str, str], Change]:
        """(comparison, cell before, cell after) → what changes, and beside what where there are several."""
        changes: dict[tuple[str, str, str], Change] = {}
        # A comparison of many pairs needs the place of each, as "with 5 masks": of the factors whose levels
        # differ between the pairs. One such factor is always named, of several the switches only where they
        # differ from the base.
        for comparison in self.comparisons:
            beside = {pair: self._beside(comparison, *pair) for pair in comparison.pairs}
            telling = [
                f for f in self.study.factors if len({levels.get(f) for levels in beside.values()}) > 1
            ]
            for (start, end), levels in beside.items():
                told = levels if len(telling) == 1 else self._different(levels, self._switches)
                words = ", ".join(self._words_of(told, telling))
                change = self._step(comparison.name)._replace(beside=words)
                changes[comparison.name, start, end] = change
        # Two changes with one name would be confused: both then keep their keys.
        times = Counter(str(change).casefold() for change in changes.values())
        return {key: change for key, change in changes.items() if times[str(change).casefold()] == 1}

    def _beside(self, comparison: Comparison, start: str, end: str) -> dict[str, str]:
        """Levels that both cells of a pair have, and those of factors that apply to one of them only."""
        before, after = (self._by_name[name].levels if name in self._by_name else {} for name in (start, end))
        return {
            factor: next((level for level in levels if level != NO_LEVEL), NO_LEVEL)
            for factor in before
            if factor != comparison.factor
            for levels in [(before[factor], after.get(factor, NO_LEVEL))]
            if len({*levels} - {NO_LEVEL}) < 2
        }

    def _step(self, comparison: str) -> Change:
        """``stop: off → on`` in words: ``gradient stop``."""
        factor, _, step = comparison.partition(": ")
        start, arrow, end = step.partition(" → ")
        # The comparison with a search's best point has no factor: it is named by what it is set against.
        if arrow and factor == "search":
            return Change("best point", "the preset" if start == "preset" else start)
        known = self._factors.get(factor)
        return Change(comparison) if known is None or not arrow else known.step(start, end)

    def _interacting(self, part: str) -> str:
        return str(self._step(part)) if part not in self._factors else self.factor_words(part)


@dataclass(frozen=True)
class _FactorWords:
    """A factor and its levels in words."""

    name: str
    words: str
    levels: Mapping[str, str]
    alone: Mapping[str, str]  # the same in a study that has no other factor
    is_switch: bool  # there or not
    chooses_data: bool
    counted: bool
    own_words: Mapping[str, str]  # of the levels that have words in the file

    @classmethod
    def of(cls, name: str, factor: Factor) -> _FactorWords:
        plain = _plain(name)
        words = factor.says or plain
        # Two levels may come to the same words, as "two masks" and "2 masks": these are called by factor
        # and level.
        made = {level: _level_words(name, words, level, block) for level, block in factor.items()}
        twice = Counter(text.casefold() for text in made.values())
        levels = {
            level: text if twice[text.casefold()] == 1 else f"{plain} {_plain(level)}"
            for level, text in made.items()
        }
        alone = {
            level: _plain(level) if text == f"{plain} {_plain(level)}" and not level.isdigit() else text
            for level, text in levels.items()
        }

        # A factor with one level that is off is a switch, unless it counts: "no masks" beside "5 masks" is
        # a number.
        off = [level for level in factor if level in _OFF]
        counted = any(_is_count(level, block) for level, block in factor.items())
        return cls(
            name,
            words,
            levels,
            alone,
            counted=counted,
            chooses_data=any(block.data for block in factor.values()),
            is_switch=len(factor) > 1 and len(off) == 1 and not counted,
            own_words={level: block.says for level, block in factor.items() if block.says is not None},
        )

    def step(self, start: str, end: str) -> Change:
        """What changes from the one level to the other."""
        before, after = self.levels.get(start, start), self.levels.get(end, end)
        # A part that comes is named by itself, "gradient stop" and not "gradient stop instead of none".
        if start in _OFF and end in _ON:
            return Change(after if end in self.own_words else self.words, part=self.words)
        if self.is_switch and (start in _OFF or end in _OFF):
            return Change(after, part=after if start in _OFF else before, drops=end in _OFF)
        return Change(after, _without_shared_words(before, after))


def _level_words(name: str, words: str, level: str, block: Level) -> str:
    """The words of a level: the file's own, else what its supervision is, else made of the names."""
    plain = _plain(name)
    if block.says is not None:
        return block.says
    if block.supervision is not None and block.trainable is None:
        # Supervision without a change of method is a number of masks, whatever the level is called. A
        # number that is spelled out in the file stays so.
        masks = block.supervision.masks
        match block.supervision.kind:
            case "none":
                return "normal images only"
            case "full":
                return "all masks"
            case _ if not masks:
                return "no masks"
            case _:
                number = level if level in _NUMBERS and _NUMBERS.index(level) == masks else f"{masks}"
                return f"{number} {'mask' if masks == 1 else 'masks'}"

    # Of a plural the level is a number or a quantity: "5 masks" and not "masks 5".
    if is_plural(plain) and level not in _ON | _OFF:
        if level in ("one", "1"):
            return f"{level} {plain.removesuffix('s')}"
        if level.isdigit() or level in _QUANTITIES:
            return f"{level} {plain}"
    if level in _ON:
        return words
    return f"no {words}" if level in _OFF else f"{plain} {_plain(level)}"


def _is_count(level: str, block: Level) -> bool:
    return block.supervision is not None or level.isdigit() or level in _QUANTITIES


def _plain(name: str) -> str:
    """``gradient_stop`` as ``gradient stop``."""
    return re.sub(r"[_-]+", " ", name).strip() or name


def is_plural(words: str) -> bool:
    """Say if words are of several things: ``distance weights``, ``masks of the training part``."""
    # Only the head tells: "masks of the training part" are several, "weight of the losses" is one. Words
    # that end in -ss, -us or -is are singular.
    head = re.split(r" (?:of|with|in|from|at|on|for|without|instead|as|than)\b|,| \(", words, maxsplit=1)[0]
    return re.search(r"[^sui]s$", head) is not None


def _without_shared_words(before: str, after: str) -> str:
    """``no masks`` beside ``5 masks`` is ``none``: words that both begin, or end, with are said once."""
    if before.startswith("no ") and before[3:].rstrip("s") == after.partition(" ")[2].rstrip("s"):
        return "none"
    if after.startswith(f"{before} "):
        return before
    # At least one word is left on each side: an empty name would say nothing.
    ours, theirs = before.split(), after.split()
    while min(len(ours), len(theirs)) > 1 and ours[0] == theirs[0]:
        del ours[0], theirs[0]
    while min(len(ours), len(theirs)) > 1 and ours[-1] == theirs[-1]:
        del ours[-1], theirs[-1]
    rest = " ".join(ours)
    return "none" if rest == "no" else rest
