"""The answer of a study as a sentence or two, for the first line of every page, report and terminal.

>>> str(answer_sentence(results, study_answer(results).results))
'Five masks pay (+0.30 AP), and so does the stop (+0.33). Whether all masks beat five is not decided.'

Some comparisons are named, at least one of each kind, and the others counted. One that was made in
several places (`with all masks, …; with five masks, …`) is said for each of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from assay.analysis.decisions import study_decisions
from assay.analysis.names import is_plural, sentence_case, study_names
from assay.analysis.results.results import StudyResults
from assay.analysis.study_analysis import study_analysis
from assay.analysis.summary import best_mean, metric_summary
from assay.statistics.families import ComparisonResult, first_claims
from assay.statistics.wording import badge, decimal_text, signed
from assay.study.names import counted, from_to

__all__ = ["AnswerSentence", "Phrase", "answer_sentence"]

Tone = Literal["", "pays", "hurts", "settled", "open"]
_MOST = 4  # comparisons that are named
_MOST_PLACES = 3  # of one comparison, that are named
_EFFECTS = "main effects"  # a family

# What is said of a comparison, in this order: its badge, and of some undecided ones that no gain is seen,
# with the words for those that are only counted.
_NO_GAIN = "No gain"
_KINDS: Mapping[str, tuple[str, str]] = {
    "Keep": ("pays", "pay"),
    "Worse": ("hurts", "hurt"),
    "Can go": ("can go", "can go"),
    "Too small": ("makes too small a difference", "make too small a difference"),
    "No difference": ("makes no difference", "make no difference"),
    _NO_GAIN: ("shows no gain", "show no gain"),
    "Suggested": ("is not certain yet", "are not certain yet"),
    "Undecided": ("is not decided", "are not decided"),
}
_TONES: Mapping[str, Tone] = {
    "Keep": "pays",
    "Worse": "hurts",
    "Can go": "settled",
    "Too small": "settled",
    "No difference": "settled",
    _NO_GAIN: "open",
}


class Phrase(NamedTuple):
    """Words of a sentence with one tone."""

    text: str
    tone: Tone = ""  # what the words are about: a page makes them bold, in the colour of their verdict


class AnswerSentence(NamedTuple):
    """One sentence or several; their phrases, put together, are the text."""

    phrases: tuple[Phrase, ...]

    def __str__(self) -> str:
        return "".join(phrase.text for phrase in self.phrases)


def answer_sentence(
    results: StudyResults, compared: Sequence[ComparisonResult] = (), most: int = _MOST
) -> AnswerSentence:
    """Say what a study found.

    Args:
        results: Of the study.
        compared: Its main effects or its comparisons, each once; empty where none has a value.
        most: Comparisons that are named.
    """
    sentences = list(_sentences(results, compared, most)) if compared else [_without(results)]
    phrases: list[Phrase] = []
    for sentence in sentences:
        first, *rest = sentence
        start = " " if phrases else ""
        phrases += [first._replace(text=start + sentence_case(first.text)), *rest]
    return AnswerSentence(tuple(phrases))


_Sentence = list[Phrase]


def _sentences(results: StudyResults, compared: Sequence[ComparisonResult], most: int) -> Iterator[_Sentence]:
    kinds = {id(result): _kind(results, result) for result in compared}
    waiting = [result for result in compared if kinds[id(result)] == "Not yet"]
    few = [result for result in compared if kinds[id(result)] == "Too few runs"]

    # A comparison that was made in several places is one thing to say; all else is said by itself.
    by_comparison: dict[tuple[str, str], list[ComparisonResult]] = {}
    for result in compared:
        if kinds[id(result)] in _KINDS:
            place = result.comparison if study_names(results).parts(result).beside else str(id(result))
            by_comparison.setdefault((result.family, place), []).append(result)

    # One thing of each kind is named before a second one of any; in several places it is of its first kind.
    of_kind: dict[str, list[list[ComparisonResult]]] = {kind: [] for kind in _KINDS}
    for parts in by_comparison.values():
        of_kind[min((kinds[id(part)] for part in parts), key=list(_KINDS).index)].append(parts)
    named = dict.fromkeys(of_kind, 0)
    for _ in range(most):
        for kind, things in of_kind.items():
            if sum(named.values()) < most and named[kind] < len(things):
                named[kind] += 1

    effects = all(result.family == _EFFECTS for result in compared)
    average = [Phrase("on average over the other factors, ")] if effects and by_comparison else []
    sets = {result.n for result in compared if result.claim == "data sets"}
    if sets and by_comparison and all(result.claim == "data sets" for result in compared):
        average = [Phrase(f"over {from_to(sets)} data sets, ")]
    unnamed: Counter[str] = Counter()
    for kind, things in of_kind.items():
        ordered = sorted(things, key=lambda parts: -max(abs(part.difference or 0.0) for part in parts))
        chosen, others = ordered[: named[kind]], ordered[named[kind] :]
        unnamed.update(kinds[id(part)] for parts in others for part in parts)
        alone = [
            _Fact.of(results, parts[0], averaged=parts[0].family == _EFFECTS and not effects)
            for parts in chosen
            if len(parts) == 1
        ]
        for sentence in _named(alone, kind):
            yield [*average, *sentence]
            average = []
        for parts in chosen:
            if len(parts) > 1:
                yield _in_places([(kinds[id(part)], _Fact.of(results, part)) for part in parts])
    if effects:
        yield from _dependences(results)

    if left := {kind: unnamed[kind] for kind in _KINDS if unnamed[kind]}:
        texts = [f"{number} {_KINDS[kind][number > 1]}" for kind, number in left.items()]
        more = counted(sum(left.values()), "more comparison")
        if len(left) == 1:
            yield [Phrase(f"{more} {texts[0].partition(' ')[2]}.")]
        else:
            yield [Phrase(f"of {more} {_listed(texts)}.")]
    if waiting:
        decisions = study_decisions(results)
        at = None if decisions is None else decisions.taken.next
        when = "when all runs have ended" if at is None else f"at {at} seeds"
        what = f"{counted(len(waiting), 'more verdict')}" if by_comparison else "verdicts"
        come = "comes" if len(waiting) == 1 and by_comparison else "come"
        yield [Phrase(f"{what} {come} {when}.")]
    if few:
        have = f"{counted(len(few), 'comparison')} {'has' if len(few) == 1 else 'have'} "
        yield [Phrase(have), Phrase("too few runs", "open"), Phrase(" for a verdict.")]


def _in_places(parts: Sequence[tuple[str, _Fact]]) -> _Sentence:
    """``With all masks, dice beats bce (+0.41 AP); with five masks, whether it does is not decided.``"""
    # One clause for what is the same in several places: the largest difference, or loss, comes first.
    same: dict[tuple[str, ...], list[_Fact]] = {}
    for kind, fact in sorted(parts, key=lambda part: -abs(part[1].result.difference or 0.0)):
        alone = (fact.beside,) if kind in ("Suggested", _NO_GAIN) else ()
        same.setdefault((kind, fact.result.verdict, *alone), []).append(fact)
    order = list(_KINDS)
    clauses: list[_Sentence] = []
    for (kind, *_), facts in sorted(same.items(), key=lambda each: order.index(each[0][0])):
        with_size = kind in ("Keep", "Worse")
        sizes = [
            f" ({fact.size(titled=not clauses and index == 0)})" if with_size else ""
            for index, fact in enumerate(facts)
        ]
        size = ""
        if len(facts) == 1:
            where, size = f"with {facts[0].beside}", sizes[0]
        elif len(facts) <= _MOST_PLACES and not any(" and " in fact.beside for fact in facts):
            where = _listed([f"with {fact.beside}{of}" for fact, of in zip(facts, sizes, strict=True)])
        else:
            where = f"in {'all' if len(facts) == len(parts) else len(facts)} of {len(parts)} variants"
            if with_size:
                size = f" ({facts[-1].size(titled=False)} to {facts[0].size(titled=True)})"
        worst = max(facts, key=lambda fact: fact.result.loses_at_most or 0.0)
        clauses.append(_clause(where, worst if kind == "Can go" else facts[0], kind, size))
    joined = [phrase for clause in clauses for phrase in (Phrase("; "), *clause)]
    return [*joined[1:], Phrase(".")]


def _clause(where: str, fact: _Fact, kind: str, size: str = "") -> _Sentence:
    """``with all masks, dice beats bce (+0.41 AP)``; ``size``: of what pays or hurts."""
    if kind in ("Keep", "Worse"):
        return [
            Phrase(f"{where}, "),
            Phrase(fact.here, _TONES[kind]),
            Phrase(f" {fact.does(kind == 'Keep')}{size}"),
        ]
    (sentence,) = _named([fact._replace(subject=fact.here)], kind)
    *phrases, last = sentence
    return [Phrase(f"{where}, "), *phrases, last._replace(text=last.text.removesuffix("."))]


def _dependences(results: StudyResults) -> Iterator[_Sentence]:
    """Interactions that are shown, as the effect with each level of the other factor: no average has it."""
    analysis, names = study_analysis(results), study_names(results)
    steps = {(r.comparison.partition(":")[0], r.claim): r for r in analysis.main_effects}
    for result in first_claims(analysis.interactions):
        if result.verdict != "shown" or result.small:
            continue
        factor, _, other = result.comparison.partition(" × ")
        average = steps.get((factor, result.claim))
        by = steps.get((other, result.claim))
        if average is None or by is None or average.difference is None or result.difference is None:
            # Of three levels or more a step is named, and its part of the average is not that of the factor.
            first, _, second = str(names.parts(result)).partition(" × ")
            size = _Fact.of(results, result).size(titled=True)
            yield [
                Phrase(f"{first} and {second} "),
                Phrase("depend on each other", "open"),
                Phrase(f" ({size})."),
            ]
            continue
        subject = _Fact.of(results, average)
        title, digits = result.scored_by.title, min(2, result.decimals)
        levels = [names.level_words(other, each) for each in by.comparison.partition(": ")[2].split(" → ")]
        where = [
            f"{signed(average.difference + half * result.difference, digits)} with {level}"
            for half, level in zip((-0.5, 0.5), levels, strict=True)
        ]
        instead = f" instead of {subject.before}" if subject.before else ""
        yield [
            Phrase(f"{subject.subject}{instead} {subject.verb('change', 'changes')} {title} by {where[0]}"),
            Phrase(" and by ", "open"),
            Phrase(f"{where[1]}."),
        ]


def _kind(results: StudyResults, result: ComparisonResult) -> str:
    """What is said of a comparison."""
    change, word = study_names(results).parts(result), badge(result)
    if word == "Can go" and change.drops:
        return "No difference"
    no_gain = result.gain <= 0 and result.loses_at_most is not None
    if word == "Undecided" and no_gain and change.part and not change.drops:
        return _NO_GAIN
    return word


def _named(facts: Sequence[_Fact], kind: str) -> Iterator[_Sentence]:
    """The sentences about the comparisons of one kind."""
    if not facts:
        return
    if kind in ("Keep", "Worse"):
        # What is there or not shares a sentence, one thing against another has a sentence of its own.
        alone, against = [f for f in facts if not f.before], [f for f in facts if f.before]
        if alone:
            yield _alone(alone, kind)
        for index, fact in enumerate(against):
            size = fact.size(titled=index == 0 and not alone)
            yield [Phrase(fact.subject, _TONES[kind]), Phrase(f" {fact.does(kind == 'Keep')} ({size}).")]
    elif kind == "Suggested":
        parts = [
            f"{fact.subject} {fact.verb('seem', 'seems')} to {fact.does(fact.result.gain > 0, plural=True)} "
            f"({fact.size(titled=index == 0)})"
            for index, fact in enumerate(facts)
        ]
        yield [Phrase(f"{_listed(parts)}, which "), Phrase("more runs", "open"), Phrase(" have to confirm.")]
    elif kind == "Undecided":
        parts = [f"whether {fact.subject} {fact.does(better=True)}" for fact in facts]
        verb = "is" if len(facts) == 1 else "are"
        yield [Phrase(f"{_listed(parts)} {verb} "), Phrase("not decided", "open"), Phrase(".")]
    else:
        for fact in facts:
            yield _settled(fact, kind)


class _Fact(NamedTuple):
    """A comparison as the subject of a sentence."""

    result: ComparisonResult
    subject: str  # `the gradient stop`, `five masks with augmentation`
    before: str  # `five`, of one thing against another
    plural: bool

    here: str  # the subject without where it was compared
    beside: str  # where it was, among several places: `all masks`

    @classmethod
    def of(cls, results: StudyResults, result: ComparisonResult, *, averaged: bool = False) -> _Fact:
        """The words of a comparison; ``averaged``: it is one over other factors, as the others are not."""
        change = study_names(results).parts(result)
        where = f" with {change.beside}" if change.beside else " on average" if averaged else ""
        before = "" if change.before == "none" else change.before
        here, plural = change.after, is_plural(change.after)
        if change.part:
            before, plural = "", is_plural(change.part)
            here = change.part if plural or change.part.startswith(_DETERMINED) else f"the {change.part}"
        if change.drops:
            here, plural = f"dropping {here}", False
        return cls(result, here + where, before, plural, here, change.beside.replace(", ", " and "))

    def verb(self, plural: str, singular: str) -> str:
        return plural if self.plural else singular

    def does(self, better: bool, *, plural: bool = False) -> str:
        """``pays``, ``beat five``, ``does worse than five``; ``plural``: as after `to`."""
        many = plural or self.plural
        if self.before:
            does = ("beat" if many else "beats") if better else f"{'do' if many else 'does'} worse than"
            return f"{does} {self.before}"
        return ("pay" if better else "hurt") + ("" if many else "s")

    def size(self, *, titled: bool) -> str:
        """``+0.30 AP``; ``titled``: with the name of the metric."""
        difference, decimals = self.result.difference or 0.0, self.result.decimals
        digits = min(2, decimals) if abs(difference) >= 0.01 else decimals
        return signed(difference, digits) + (f" {self.result.scored_by.title}" if titled else "")

    def loss(self) -> str:
        """``dropping them loses at most 0.02 AP``."""
        most, title = self.result.loses_at_most, self.result.scored_by.title
        what = f"{self.before} instead" if self.before else f"dropping {self.verb('them', 'it')}"
        if most is None:  # a trial diverged, of which the interval knows nothing
            return f"{what} loses less than {self.result.resolve:g} {title}"
        way = "loses at most" if most >= 0 else "gains at least"
        return f"{what} {way} {decimal_text(abs(most), self.result.decimals)} {title}"


_DETERMINED = ("the ", "a ", "an ", "no ", "with ", "without ", "every ", "each ", *"0123456789")


def _alone(facts: Sequence[_Fact], kind: str) -> _Sentence:
    """``five masks pay (+0.30 AP), and so does the gradient stop (+0.33).``"""
    first, *others = facts
    does = first.does(kind == "Keep")
    sentence = [Phrase(first.subject, _TONES[kind]), Phrase(f" {does} ({first.size(titled=True)})")]
    if others:
        so = "do" if len(others) > 1 or others[0].plural else "does"
        sentence.append(Phrase(f", and so {so} "))
    for index, fact in enumerate(others):
        joint = "" if index == 0 else " and " if index == len(others) - 1 else ", "
        size = Phrase(f" ({fact.size(titled=False)})")
        sentence += [Phrase(joint), Phrase(fact.subject, _TONES[kind]), size]
    return [*sentence, Phrase(".")]


def _settled(fact: _Fact, kind: str) -> _Sentence:
    """A sentence of its own: what can go, makes no difference, or shows no gain."""
    result, subject = fact.result, Phrase(fact.subject, _TONES[kind])
    title, against = result.scored_by.title, f" beside {fact.before}" if fact.before else ""
    if kind == "Can go":
        return [subject, Phrase(f" can go{against}: {fact.loss()}.")]
    if kind == _NO_GAIN:
        worse = result.n - result.better - result.tied
        runs = f", and {worse} of {result.n} runs do better without" if 2 * worse > result.n else ""
        return [subject, Phrase(f" {fact.verb('show', 'shows')} no gain: {fact.loss()}{runs}.")]
    if result.verdict == "identical":
        return [subject, Phrase(f" {fact.verb('change', 'changes')} nothing{against}: all runs tie.")]
    small = ", too little to matter" if kind == "Too small" else ""
    if fact.before:
        return [subject, Phrase(f" and {fact.before} differ by less than {result.resolve:g} {title}{small}.")]
    changes = fact.verb("change", "changes")
    return [subject, Phrase(f" {changes} {title} by less than {result.resolve:g}{small}.")]


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


# Studies without a comparison that has a value -----------------------------------------------------------


def _without(results: StudyResults) -> _Sentence:
    """What there is to say: the score, the best mean, or why there is none."""
    metric, names = results.primary, study_names(results)
    summaries = metric_summary(results, metric.name)
    asked = bool(results.reported.comparisons)
    why = "no comparison has a verdict yet" if asked else "the study compares nothing"
    best = best_mean(summaries, metric)
    if best is None or best.mean is None:
        lost = Counter(record.status for record in results.records.values() if record.status != "finished")
        if not lost:
            return [Phrase("no run has a result yet.")]
        reasons = _listed([f"{number} {status}" for status, number in lost.items()])
        return [Phrase("no run has a result", "open"), Phrase(f": {reasons}.")]
    spread = "" if best.spread is None else f" ± {best.spread:.{metric.decimals}f} over {best.spread_of}"
    score = f"{best.mean:.{metric.decimals}f}{spread}"
    if len(summaries) == 1:
        return [Phrase(f"{metric.title} is "), Phrase(score, "settled"), Phrase(".")]
    if len(results.data_sets) > 1:
        on = f"its variants stand on {len(results.data_sets)} data sets, of which each has a best of its own"
        return [Phrase(f"{why}; {on}.")]
    variant = names.variant(best.cell.name)
    has = "have" if is_plural(variant) else "has"
    text = f" {has} the best mean so far: {metric.title} {score}; {why}."
    return [Phrase(variant, "settled"), Phrase(text)]
