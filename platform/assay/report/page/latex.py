"""A page as a LaTeX document that pdfLaTeX, XeLaTeX and LuaLaTeX compile.

Each table, with what it takes to read it, stands between two comments, ``% begin table: cells`` and
``% end table: cells``: a paper can ``\\input`` what is cut out. It needs booktabs, amssymb, graphicx and
hyperref only.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from assay.report.page.inline import anchors, inline, linked
from assay.report.page.model import Page, Picture, Section, TextTable

__all__ = ["escape", "latex_page"]

_MOST = 30  # rows of a table; a longer one goes on as another, with its head
_HEAD = r"""% Written by `assay report`. Each table stands between two comments that name it, so that
% sed -n '/^% begin table: cells/,/^% end table: cells/p' report.tex > cells.tex
% cuts one out for \input{cells} in a paper with \usepackage{amssymb,booktabs,graphicx,hyperref}.
\documentclass[a4paper,10pt]{article}
\usepackage[margin=22mm]{geometry}
\usepackage{amssymb,booktabs,graphicx}
\usepackage[hidelinks]{hyperref}
\setlength{\parindent}{0pt}
\setlength{\parskip}{6pt}
\setlength{\emergencystretch}{3em}
\begin{document}
\raggedbottom"""

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
_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
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
    parts = [_HEAD, rf"{{\LARGE\bfseries {escape(page.title)}\par}}"]
    if page.question:
        parts.append(rf"\begin{{quote}}\itshape {escape(page.question)}\end{{quote}}")
    parts.append(writer.block("cells", page.count, page.table, page.notes))
    for section in page.sections_of_file:
        parts += writer.section(section)
    parts += [
        _picture(picture, pictures[picture.stem]) for picture in page.pictures if picture.stem in pictures
    ]
    for section in page.search:
        parts += writer.section(section)
    parts += [*writer.section(trials, targets=True), r"\end{document}"]
    return "\n\n".join(part for part in parts if part) + "\n"


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
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
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
