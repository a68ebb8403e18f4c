"""A page as a LaTeX document that pdfLaTeX, XeLaTeX and LuaLaTeX compile.

Each table, with what it takes to read it, stands between two comments, ``% begin table: cells`` and
``% end table: cells``: a paper can ``\\input`` what is cut out. It needs booktabs, amssymb, graphicx and
hyperref only.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from assay.report.page.inline import anchors, inline, linked
from assay.report.page.model import SUPERSCRIPTS, Page, Picture, Section, TextTable

__all__ = ["escape", "latex_float", "latex_page"]

_MOST = 30  # rows of a table; a longer one goes on as another, with its head
_HEAD = r"""% Written by `assay report`. Each table stands between two comments that name it, so that
% sed -n '/^% begin table: cells/,/^% end table: cells/p' report.tex > cells.tex
% cuts one out for \input{cells} in a paper with \usepackage{amssymb,booktabs,graphicx,hyperref}.
% `cells` and `answer` are floats with caption and label that fit a column, `figure` is as wide as both; the
% others are in the appendix.
\documentclass[a4paper,10pt,twocolumn]{article}
\usepackage[margin=20mm]{geometry}
\usepackage{amssymb,booktabs,graphicx}
\usepackage[hidelinks]{hyperref}
\setlength{\parindent}{0pt}
\setlength{\parskip}{6pt}
\setlength{\emergencystretch}{3em}
\begin{document}
\raggedbottom"""
_COLUMN = 236  # points: a column of a paper in two columns
_MOST_SHRUNK = 1.2  # times a column: 6.7 pt are left of 8 where a table so wide is made smaller
_LETTER = 4.1  # points: a digit in 8 pt, and about a letter
_GAP = 5  # points between columns
_FLOAT = [
    r"\begin{table}[!htb]",
    r"\let\normalsize\footnotesize",  # a caption asks for the normal size, which the text around keeps
    r"\centering\fontsize{8}{9.6}\selectfont\setlength{\tabcolsep}{2.5pt}",
]
_SHRUNK = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"  # what is too wide
_MOST_LINES = 3  # of a name, before a comparison goes without its "better in"
_MOST_IN_COLUMN = 44  # lines of a float; all rows are in the appendix

_PLAIN = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "[": "{[}",  # after `\\` and `\item` a bracket would open an argument
    "]": "{]}",
    "*": "{*}",
    "\n": " ",
    "\u00a0": "~",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "…": r"\ldots{}",
    "“": "``",
    "”": "''",
    "‘": "`",
    "’": "'",
    "†": r"\dag{}",
    "§": r"\S{}",
    "✓": r"\checkmark{}",
}
_MATHS = {
    "→": r"\rightarrow", "←": r"\leftarrow", "↑": r"\uparrow", "↓": r"\downarrow", "±": r"\pm", "−": "-",
    "×": r"\times", "·": r"\cdot", "≥": r"\geq", "≤": r"\leq", "≠": r"\neq", "≈": r"\approx",
    "∞": r"\infty", "√": r"\surd", "Σ": r"\Sigma", "°": r"^\circ", "µ": r"\mu",
    "α": r"\alpha", "β": r"\beta", "γ": r"\gamma", "δ": r"\delta", "ε": r"\varepsilon", "η": r"\eta",
    "θ": r"\theta", "λ": r"\lambda", "μ": r"\mu", "π": r"\pi", "ρ": r"\rho", "σ": r"\sigma",
    "τ": r"\tau", "φ": r"\varphi", "χ": r"\chi", "ω": r"\omega", "Δ": r"\Delta",
}  # fmt: skip
_SUPERSCRIPT = re.compile(f"[{SUPERSCRIPTS}]+")
_DIGITS = str.maketrans(SUPERSCRIPTS, "0123456789")
_LETTERS = "À", "ž"  # Latin-1 and Latin Extended-A
_RARE = frozenset("ÐÞðþĄąĐđĘęĦħĮįĸĿŀŉŊŋŦŧŲų")  # but these, which pdfLaTeX's own letters lack


def latex_page(page: Page, pictures: Mapping[str, str]) -> str:
    """The document, ending in a newline.

    Args:
        page: What it says.
        pictures: Stem → path of the pictures that lie beside the document; the others are left out.
    """
    trials = page.listed_trials
    writer = _Writer(anchors(trials.table) if trials.table is not None else {})
    title = [rf"{{\LARGE\bfseries {escape(page.title)}\par}}"]
    if page.question:
        title.append(rf"\begin{{quote}}\itshape {escape(page.question)}\end{{quote}}")
    if page.sentence:
        title.append(rf"{{\bfseries {_text(page.sentence)}\par}}")
    drawn = [picture for picture in page.all_pictures if picture.stem in pictures]
    for picture in drawn:
        if picture is page.figure:
            title += _wide_figure(picture, pictures[picture.stem])
    parts = [_HEAD, "\n".join([r"\twocolumn[{%", *title, r"\bigskip}]"]), writer.cells_float(page)]
    if page.answer is not None:
        parts.append(writer.answer_float(page.title, page.answer))
    parts += [r"\clearpage\onecolumn\appendix", r"\section*{Appendix}"]
    parts.append(writer.block("all-columns", page.count, page.table, page.notes))
    for section in page.sections:
        parts += writer.section(section)
    parts += [_picture(picture, pictures[picture.stem]) for picture in drawn if picture is not page.figure]
    for section in page.search:
        parts += writer.section(section)
    parts += [*writer.section(trials, targets=True), r"\end{document}"]
    return "\n\n".join(part for part in parts if part) + "\n"


def latex_float(
    title: str, caption: str, table: TextTable, groups: Sequence[tuple[str, int]], notes: Sequence[str]
) -> str:
    """One table for a paper, ending in a newline: a float with caption and label that fits a column.

    One that would be too small there stands over both columns.

    Args:
        title: Of what the label is made.
        caption: What the numbers are.
        table: Its columns and rows.
        groups: Headings above columns, and of how many each; empty: there are none.
        notes: Below it.
    """
    text = _Writer({}).float_of("paper", title, caption, table, groups=groups)
    if _broken(table) is None and _width(table, range(len(table.columns))) > _MOST_SHRUNK * _COLUMN:
        text = text.replace("{table}", "{table*}")
    return "\n".join(filter(None, [text, _notes((), notes)])) + "\n"


def escape(text: str) -> str:
    """Text as LaTeX shows it; a letter that not every LaTeX can set as its code, ``U+4E2D``."""
    escaped = "".join(map(_letter, unicodedata.normalize("NFC", text)))
    escaped = re.sub("-(?=-)", "-{}", escaped)  # or it would become a dash: `--format`
    return _SUPERSCRIPT.sub(lambda match: rf"\textsuperscript{{{match[0].translate(_DIGITS)}}}", escaped)


def _letter(letter: str) -> str:
    if letter in _PLAIN:
        return _PLAIN[letter]
    if letter in _MATHS:
        return f"${_MATHS[letter]}$"
    first, last = _LETTERS
    known = (letter.isascii() and letter.isprintable()) or (first <= letter <= last and letter not in _RARE)
    return letter if known or _SUPERSCRIPT.match(letter) else f"U+{ord(letter):04X}"


def _code(text: str) -> str:
    """Code may be broken after a dot, a slash or an underscore: paths are long."""
    breakable = re.sub(r"(\\_|[./])", r"\1\\allowbreak{}", escape(text))
    return rf"\texttt{{{breakable}}}"


def _text(text: str) -> str:
    return inline(text, escape, _code)


def _wide_figure(picture: Picture, path: str) -> list[str]:
    """The figure over both columns, below the title: in one of them its words would be too small to read."""
    return [
        "% begin table: figure",
        r"\begin{center}",
        rf"\includegraphics[width=0.85\textwidth,height=0.42\textheight,keepaspectratio]{{{path}}}",
        r"\par\smallskip",
        rf"{{\footnotesize {_text(picture.caption)}\par}}",
        r"\end{center}",
        "% end table: figure",
    ]


def _picture(picture: Picture, path: str) -> str:
    return "\n".join(
        [
            r"\begin{center}",
            rf"\includegraphics[width=\linewidth,height=0.85\textheight,keepaspectratio]{{{path}}}",
            "",
            rf"\small {_text(picture.caption)}",
            r"\end{center}",
        ]
    )


@dataclass(frozen=True)
class _Writer:
    """Sections and tables with links to the trials of cells."""

    anchors: Mapping[str, str]

    def section(self, section: Section, *, targets: bool = False) -> Iterator[str]:
        yield rf"\section*{{{escape(section.title)}}}"
        yield self.block(_name(section.title), section.intro, section.table, section.notes, targets=targets)

    def cells_float(self, page: Page) -> str:
        """The variants in a column: names, the primary metric with its spread, n, and means that fit."""
        table = page.table
        last = len(table.columns) - 1
        names = next((i for i, column in enumerate(table.columns) if column.align == "right"), last)
        if _width(table, range(names)) > _COLUMN / 2:
            table, names = page.narrow_table, 1
            last = len(table.columns) - 1
        further = [i for i in range(names + 1, last) if not table.columns[i].spare]
        means = replace(
            table,
            rows=tuple(
                tuple(text.partition(" ± ")[0] if i in further else text for i, text in enumerate(row))
                for row in table.rows
            ),
        )
        kept = sorted({*range(names + 1), last})
        for i in further:
            tried = sorted([*kept, i])
            if _width(means, tried, wrapped=0 if names == 1 else None) <= _COLUMN:
                kept = tried
        # Of more variants than a column has lines, the best.
        fitting = means.with_columns(kept)
        short = fitting.with_rows(_fitting(fitting, page.best_first or range(len(table.rows))))
        left_out = len(table.rows) - len(short.rows)
        caption = [page.caption or page.count]
        caption += [f"The best {len(short.rows)} of {len(table.rows)} variants."] if left_out else []
        if set(range(len(table.columns))) - set(kept):
            caption.append("Further columns and notes: appendix.")
        return self.float_of("cells", page.title, " ".join(caption), short)

    def answer_float(self, title: str, answer: Section) -> str:
        """The comparisons in a column, below the name of each verdict."""
        assert answer.table is not None, "an answer has rows"
        table, heads, rows = answer.table, dict[int, str](), list[tuple[str, ...]]()
        before = ""
        for verdict, change, *numbers in table.rows:
            word = verdict.rstrip(f"{SUPERSCRIPTS} ")
            rows.append((f"{change}{verdict.removeprefix(word)}", *numbers))
            if word != before:
                heads[len(rows) - 1] = before = word
        grouped = table.with_columns(range(1, len(table.columns)))
        columns = (*grouped.columns[:-1], grouped.columns[-1]._replace(title="p"))  # the caption says how
        everything = replace(grouped, columns=columns, rows=tuple(rows))
        if max(_lines(everything)) > _MOST_LINES:
            everything = everything.with_columns([0, *range(1, len(columns) - 2), len(columns) - 1])
        short = everything.with_rows(_fitting(everything, range(len(rows))))
        cut = len(short.rows) < len(rows)
        caption = answer.intro + f" The strongest {len(short.rows)} of {len(rows)}." * cut
        return self.float_of("answer", title, caption, short, heads)

    def float_of(
        self,
        name: str,
        title: str,
        caption: str,
        table: TextTable,
        heads: Mapping[int, str] = MappingProxyType({}),
        *,
        groups: Sequence[tuple[str, int]] = (),
    ) -> str:
        """A table that fits a column, its first one broken into lines where that is needed."""
        table, columns = table.with_own_notes(), table.columns
        spec = "".join(column.align[0] for column in columns)
        broken = _broken(table)
        if broken is not None:
            spec = rf"p{{{broken:.0f}pt}}{spec[1:]}"
        lines = [
            f"% begin table: {name}",
            *_FLOAT,
            rf"\caption{{{_text(caption)}}}\label{{tab:{_name(title)}-{name}}}\smallskip",
            _SHRUNK,
            rf"\begin{{tabular}}{{@{{}}{spec}@{{}}}}",
            r"\toprule",
            *_group_lines(groups),
            f"{' & '.join(escape(column.title) for column in columns)} \\\\",
            r"\midrule",
        ]
        for i, row in enumerate(self._rows(table, targets=False)):
            if i in heads:
                lines += [r"\addlinespace"] * (i > 0)
                lines.append(rf"\multicolumn{{{len(columns)}}}{{@{{}}l}}{{\itshape {escape(heads[i])}}} \\")
            lines.append(rf"\raggedright {row}" if broken is not None else row)
        lines += [r"\bottomrule", r"\end{tabular}}"]
        if table.notes:
            notes = (rf"\textsuperscript{{{i}}}~{_text(note)}" for i, note in enumerate(table.notes, start=1))
            lines.append(rf"\par\smallskip\raggedright {'; '.join(notes)}.")
        return "\n".join([*lines, r"\end{table}", f"% end table: {name}"])

    def block(
        self,
        name: str,
        intro: str,
        table: TextTable | None,
        notes: Sequence[str],
        *,
        targets: bool = False,
    ) -> str:
        """Join what belongs together: how a table is to be read, the table, its notes."""
        if table is None:
            return "\n\n".join(filter(None, [_text(intro), _notes((), notes)]))
        parts = [_text(intro), self._table(table, targets=targets), _notes(table.notes, notes)]
        return "\n".join([f"% begin table: {name}", *filter(None, parts), f"% end table: {name}"])

    def _table(self, table: TextTable, *, targets: bool) -> str:
        """The table, or below each other its parts; what is too wide is made smaller, and nothing else."""
        spec = "".join(column.align[0] for column in table.columns)
        body = list(self._rows(table, targets=targets))
        size = r"\small" if len(body) <= _MOST else r"\footnotesize"  # two full parts stand on a page
        start = [
            rf"\begin{{center}}{size}",
            _SHRUNK,
            rf"\begin{{tabular}}{{@{{}}{spec}@{{}}}}",
            r"\toprule",
            f"{' & '.join(escape(column.title) for column in table.columns)} \\\\",
            r"\midrule",
        ]
        end = [r"\bottomrule", r"\end{tabular}}", r"\end{center}"]
        number = max(1, -(-len(body) // _MOST))
        rows = -(-len(body) // number)  # of a part: about as many in each
        parts = [body[i * rows : (i + 1) * rows] for i in range(number)]
        return "\n".join("\n".join([*start, *part, *end]) for part in parts)

    def _rows(self, table: TextTable, *, targets: bool) -> Iterator[str]:
        before = ""
        for i, row in enumerate(table.rows):
            texts = [self._cell(table, text, (i, j)) for j, text in enumerate(row)]
            if targets and row[0] != before:
                texts[0] = rf"\hypertarget{{{self.anchors[row[0]]}}}{{{texts[0]}}}"
                before = row[0]
            yield f"{' & '.join(texts)} \\\\"

    def _cell(self, table: TextTable, text: str, place: tuple[int, int]) -> str:
        write = _code if table.columns[place[1]].title == "trial" else escape
        marked = linked(text, table.links.get(place, ()), self.anchors, write, _link)
        return rf"\textbf{{{marked}}}" if place in table.bold else marked


def _group_lines(groups: Sequence[tuple[str, int]]) -> Iterator[str]:
    """Headings above columns, each with a rule below it."""
    if not groups:
        return
    yield " & ".join(rf"\multicolumn{{{n}}}{{c}}{{{escape(title)}}}" for title, n in groups) + r" \\"
    at = 1
    for title, number in groups:
        if title:
            yield rf"\cmidrule(lr){{{at}-{at + number - 1}}}"
        at += number


def _width(table: TextTable, places: Iterable[int], wrapped: int | None = None) -> float:
    """Points of the columns at ``places`` in 8 pt, about; one that is broken into lines takes a quarter."""
    widths = [
        _COLUMN / 4
        if place == wrapped
        else _LETTER
        * max(len(text) for text in (table.columns[place].title, *(row[place] for row in table.rows)))
        for place in places
    ]
    return sum(widths) + _GAP * (len(widths) - 1)


def _broken(table: TextTable) -> float | None:
    """Points of a first column that is broken into lines so that the table fits; None where it fits whole."""
    everything = range(len(table.columns))
    if _width(table, everything) <= _COLUMN:
        return None
    # A name that is no longer than that would take more room when it is broken.
    broken = max(_COLUMN - _width(table, everything[1:]) - _GAP, 60)
    return broken if broken < _width(table, everything[:1]) else None


def _lines(table: TextTable) -> list[int]:
    """Lines of each row in a column, about."""
    width = _broken(table)
    return [1 if width is None else math.ceil(len(row[0]) * _LETTER / width) for row in table.rows]


def _fitting(table: TextTable, order: Sequence[int]) -> list[int]:
    """The first rows in ``order`` that fit a column, as they stand in the table."""
    lines, kept = _lines(table), list[int]()
    for row in order:
        if sum(lines[other] for other in (*kept, row)) > _MOST_IN_COLUMN:
            break
        kept.append(row)
    return sorted(kept)


def _link(text: str, anchor: str) -> str:
    return rf"\hyperlink{{{anchor}}}{{{text}}}"


def _name(title: str) -> str:
    """``comparisons-on-this-split``: the heading up to its colon."""
    return re.sub(r"[^a-z0-9]+", "-", title.partition(":")[0].lower()).strip("-")


def _notes(numbered: Sequence[str], notes: Sequence[str]) -> str:
    items = [rf"\item[\textsuperscript{{{i}}}] {_text(note)}" for i, note in enumerate(numbered, start=1)]
    items += [rf"\item {_text(note)}" for note in notes]
    if not items:
        return ""
    start = r"\begin{itemize}\footnotesize\setlength{\itemsep}{1pt}\setlength{\parskip}{0pt}"
    return "\n".join([start, *items, r"\end{itemize}"])
