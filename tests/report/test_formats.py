"""The forms of a report: the same bytes for the same records, sound in their language, nothing left raw."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from assay.analysis.results.results import StudyResults
from assay.report.formats import FORMATS
from assay.report.page.html import html_page
from assay.report.page.inline import linked
from assay.report.page.latex import escape, latex_page
from assay.report.page.markdown import escape as escape_markdown
from assay.report.page.markdown import markdown_page
from assay.report.page.model import Column, Page, Section, TextTable, superscript
from assay.report.page.terminal import terminal_page
from assay.report.rows import cell_table, comparison_table, report_comparisons, to_csv
from assay.study.planning.plan_table import plan_of_table, table_of_plan
from tests.analysis.made_studies import STUDY, make_plan, make_records, page_of
from tests.report.goldens import FOLDER, FORMS, GOLDENS, golden_files, golden_results
from tests.report.latex_check import latex_problems

PLAN = make_plan()
HOSTILE = r"""\input{x} 50 % & <script>alert(1)</script> $x_1^2$ #~{ "q" --a | [b] → ✓ ± 中 ſ \\ * `c<d_e`"""


@pytest.fixture(scope="module")
def page() -> Page:
    return page_of(PLAN, make_records(PLAN))


def hostile_page() -> Page:
    """Every text of a page is what somebody might have typed."""
    table = TextTable(
        (Column(HOSTILE, "left"), Column("n", "right")), ((HOSTILE, "1"), ("*", "[2]")), (HOSTILE,)
    )
    trials = TextTable((Column("cell", "left"), Column("trial", "left")), ((HOSTILE, HOSTILE),))
    section = Section(HOSTILE, HOSTILE, table, (HOSTILE,))
    return Page(
        title=HOSTILE,
        question=f"{HOSTILE}\n{HOSTILE}",
        count=HOSTILE,
        table=replace(table, links={(0, 0): (HOSTILE,)}, bold=frozenset({(0, 0)})),
        notes=(HOSTILE,),
        sentence=HOSTILE,
        answer=section,
        sections=(section,),
        pictures=(),
        search=(section,),
        trials=Section("Trials", HOSTILE, trials),
    )


def wide_page() -> Page:
    """A table of 61 rows, each three times as wide as the paper."""
    columns = tuple(Column(f"column {i}", "left") for i in range(9))
    rows = tuple(tuple(f"row {row} of a cell with a long name {i}" for i in range(9)) for row in range(61))
    return replace(hostile_page(), table=TextTable(columns, rows))


PAGES = {"hostile": hostile_page, "wide": wide_page}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", GOLDENS)
def test_the_same_records_give_the_same_bytes(name: str, form: str) -> None:
    for path, text in golden_files(name, form).items():
        assert text == (FOLDER / path).read_text(encoding="utf-8"), "renew: python -m tests.report.goldens"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.tex")), ids=lambda path: path.name)
def test_latex_is_sound(path: Path) -> None:
    assert latex_problems(path.read_text(encoding="utf-8")) == []


def test_hostile_text_is_escaped_in_latex() -> None:
    text = latex_page(hostile_page(), {})
    assert latex_problems(text) == []
    assert r"\input{x}" not in text.partition(r"\begin{document}")[2]


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (r"a_b", "unescaped _"),
        (r"{\bfseries a", "a brace stays open"),
        (r"a}", "a brace closes nothing"),
        (r"\begin{center}", r"\begin{center} stays open"),
        (r"$x", "maths stays open"),
        (r"\begin{tabular}{@{}lr@{}} a & b & c \\ \end{tabular}", "3 columns instead of 2:  a & b & c "),
        ("中", "not ASCII or Latin: 中"),
    ],
)
def test_the_check_of_latex_finds_what_is_broken(broken: str, problem: str) -> None:
    assert problem in latex_problems(broken)


def test_a_long_table_of_latex_goes_on_as_another_and_each_is_made_as_narrow_as_the_line() -> None:
    appendix = latex_page(wide_page(), {}).partition("% begin table: all-columns\n")[2]
    block = appendix.partition("% end table: all-columns\n")[0]
    tables = re.findall(r"\\resizebox\{.*?\\end\{tabular\}\}", block, re.DOTALL)
    assert [len(re.findall(r"row (\d+) .*\\\\", table)) for table in tables] == [21, 21, 19]
    assert all("column 0 & column 1 &" in table for table in tables)
    assert re.findall(r"row (\d+) .*\\\\", block) == [str(row) for row in range(61)]


@pytest.mark.parametrize("name", [*GOLDENS, *PAGES])
def test_latex_compiles_and_stays_on_the_paper(tmp_path: Path, name: str) -> None:
    compiler = shutil.which("pdflatex")
    if compiler is None:
        pytest.skip("no pdflatex here: the check of the syntax stands in")
    if name in PAGES:
        files = {f"{name}.tex": latex_page(PAGES[name](), {}).encode()}
    else:
        files = FORMATS["latex"].study_files(golden_results(name), f"{name}.tex")
    for path, data in files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(data)
    command = [compiler, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", f"{name}.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    assert b"Overfull" not in done.stdout, "something runs off the paper"
    assert (tmp_path / f"{name}.pdf").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50 % & more", r"50 \% \& more"),
        ("−0.1 ± 2 → ↑", r"$-$0.1 $\pm$ 2 $\rightarrow$ $\uparrow$"),
        ("2 of 3 ¹²", r"2 of 3 \textsuperscript{12}"),
        ("✓ –", r"\checkmark{} \textendash{}"),
        ("[0.1]", "{[}0.1{]}"),
        ("--format", "-{}-format"),
        ("----", "-{}-{}-{}-"),
        ("Božič", "Božič"),
        ("Z\u030c", "Ž"),
        ("中", "U+4E2D"),
        ("a\x07", "aU+0007"),
    ],
)
def test_text_in_latex(text: str, expected: str) -> None:
    assert escape(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        HOSTILE.replace(" `c<d_e`", ""),
        "![x](javascript:alert) [y](http://h) <img src=x> <!-- --> &lt; &#60;",
        "*a* **b** _c_ __d__ ~~e~~ a_b_c `",
        "# heading",
        "> quote",
        "- item",
        "12. item",
        "+ item",
        "===",
        "---",
        "~~~",
        "[x]: http://h",
        "a\\",
    ],
)
def test_text_in_markdown_is_shown_as_it_is(text: str) -> None:
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(escape_markdown(text))
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    children = tokens[1].children or []
    assert {child.type for child in children} <= {"text", "text_special"}
    assert "".join(child.content for child in children) == text


def test_hostile_text_makes_no_markup_in_markdown() -> None:
    html = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown_page(hostile_page()))
    assert "<script" not in html
    assert "<em>" not in html
    assert html.count("<h1>") == 1
    assert html.count("<tbody>") == 5  # the cells, three sections, the trials


CONTROL = "a\x1b[31mred\x07\x9b2J\u202egnp\r"


@pytest.mark.parametrize("form", ["markdown", "html", "latex", "terminal"])
def test_control_characters_are_shown_as_such(form: str) -> None:
    page = replace(hostile_page(), question=CONTROL, count=CONTROL, notes=(CONTROL,))
    match form:
        case "markdown":
            text, sign = markdown_page(page), r"\x1b"
        case "html":
            text, sign = html_page(page), r"\x1b"
        case "latex":
            text, sign = latex_page(page, {}), "U+001B"
        case _:
            out = Console(file=io.StringIO(), width=300)
            out.print(terminal_page(page, whole=True))
            text, sign = out.file.getvalue(), r"\x1b"  # type: ignore[attr-defined]
    assert text.count(sign) == (4 if form == "latex" else 3)  # in the caption, and in the appendix
    assert not set(CONTROL) & set("\x1b\x07\x9b\u202e\r") & set(text)


def test_a_float_of_the_best_variants_has_the_notes_of_these_and_no_others(page: Page) -> None:
    rows = tuple((f"variant {i}", f"0.{i:03}", f"6 {superscript(i)}") for i in range(1, 101))
    columns = (Column("variant", "left"), Column("AP", "right"), Column("n", "right"))
    table = TextTable(columns, rows, tuple(f"note of {i}" for i in range(1, 101)))
    best_first = tuple(range(99, -1, -1))
    text = latex_page(replace(page, table=table, named=None, best_first=best_first), {})
    block = text.partition("% begin table: cells\n")[2].partition("% end table: cells\n")[0]
    shown = re.findall(r"^variant (\d+)", block, re.MULTILINE)
    notes = re.findall(r"textsuperscript\{(\d+)\}~note of (\d+)", block)
    assert 10 < len(shown) < 50
    assert shown[-1] == "100"
    assert notes == [(str(place), variant) for place, variant in enumerate(shown, start=1)]


def test_a_table_can_be_cut_out_of_the_latex(page: Page) -> None:
    text = latex_page(page, {})
    names = re.findall(r"^% begin table: (.*)$", text, re.MULTILINE)
    assert names[:3] == ["cells", "answer", "all-columns"]
    assert len(names) == len(set(names)) == 13
    for name in names:
        block = text.partition(f"% begin table: {name}\n")[2].partition(f"% end table: {name}\n")[0]
        assert latex_problems(block) == []
        assert r"\bottomrule" in block
    comparisons = text.partition("% begin table: comparisons-on-new-data")[2].partition("% end table")[0]
    assert "adjusted for 4 comparisons (Holm)" in comparisons


class Outline(HTMLParser):
    """Tags that stay open, anchors, links, sources."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.tags: Counter[str] = Counter()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags[tag] += 1
        if tag not in {"meta", "br", "img"}:
            self.open.append(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if "href" in given else []
        self.sources += [given["src"]] if "src" in given else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", GOLDENS)
def test_html_is_whole_and_needs_nothing_else(name: str) -> None:
    text = (FOLDER / f"{name}.html").read_text(encoding="utf-8")
    found = Outline(text)
    assert found.open == []
    assert len(found.ids) == len(set(found.ids))
    assert found.links
    assert all(link.removeprefix("#") in found.ids for link in found.links)
    assert all(source.startswith("data:image/svg+xml;base64,") for source in found.sources)
    assert not {"script", "link", "iframe", "object"} & set(found.tags)
    assert "url(" not in text
    assert "@import" not in text


def test_html_has_n_beside_the_primary_metric() -> None:
    text = (FOLDER / "seeds.html").read_text(encoding="utf-8").partition("<h2>Variants</h2>")[2]
    head = re.findall(r"<th[^>]*>([^<]*)</th>", text[: text.index("</thead>")])
    assert head == ["supervision", "stop", "AP ↑", "n", "published", "FP ↓", "published", "IoU ↑"]


def test_hostile_text_is_escaped_in_html() -> None:
    text = html_page(hostile_page())
    found = Outline(text)
    assert found.open == []
    assert not found.tags["script"]
    assert found.tags["h2"] == 5
    assert "<code>c&lt;d_e</code>" in text


def test_every_cell_and_both_sides_of_a_comparison_lead_to_their_trials(page: Page) -> None:
    text = html_page(page)
    for number, cell in enumerate(PLAN.cells, start=1):
        assert f'<summary>{cell.name} <span>3 trials</span></summary>\n<div id="cell-{number}">' in text
    assert text.count('<a href="#cell-2">3</a>') == 1  # n of the second row
    assert '<a href="#cell-2">stop with all masks</a>' in text
    assert all(trial.id in text for trial in PLAN.trials)


def test_a_comparison_of_cells_is_divided_between_their_names_whatever_these_hold() -> None:
    anchors = {"c": "cell-1", "a → b": "cell-2"}
    marked = linked("c → a → b", ("c", "a → b"), anchors, str, lambda text, anchor: f"<{anchor}: {text}>")
    assert marked == "<cell-1: c> → <cell-2: a → b>"


def test_more_than_two_hundred_trials_are_listed_in_html_only() -> None:
    plan = make_plan(STUDY.replace("[0, 1, 2]", str(list(range(51)))))
    page = page_of(plan, make_records(plan))
    for text in (markdown_page(page), latex_page(page, {})):
        assert plan.trials[0].id not in text
        assert "hyperlink" not in text
    assert "They are more than 200: `assay report additions --format html` lists them all" in markdown_page(
        page
    )
    assert html_page(page).count("<tr>") > 204


def test_the_csv_of_cells_has_the_numbers_of_the_records() -> None:
    table = pd.read_csv(io.StringIO(to_csv(cell_table(StudyResults(PLAN, make_records(PLAN))))))
    assert len(table) == len(PLAN.cells) * 3
    row = table.set_index(["cell", "metric"]).loc[("supervision=full stop=on", "image_ap")]
    assert (row["factor:stop"], row["n"], row["sd_over"]) == ("on", 3, "3 seeds")
    assert row["mean"] == pytest.approx(0.88)
    assert row["low"] < row["mean"] < row["high"]
    assert (row["interval"], row["claim"]) == ("t over 3 seeds", "this data")


def test_the_csv_of_comparisons_has_the_columns_of_their_results() -> None:
    results = report_comparisons(StudyResults(PLAN, make_records(PLAN)))
    rows = list(csv.DictReader(io.StringIO(to_csv(comparison_table(results)))))
    families = {"comparisons": 4, "main effects": 2, "interactions": 1, "further metrics": 8}
    claims = ("this data", "new data")
    assert Counter((row["family"], row["claim"]) for row in rows) == {
        (family, claim): number for family, number in families.items() for claim in claims
    }
    assert list(rows[0])[-5:] == ["more", "more_low", "more_high", "more_negligible", "note"]
    assert rows[0]["family"] == "main effects"
    row = next(row for row in rows if row["family"] == "comparisons")
    assert (row["cell_a"], row["cell_b"], row["verdict"]) == (
        "supervision=full stop=on",
        "supervision=full stop=off",
        "open",
    )
    assert float(row["difference"]) == pytest.approx(0.05)


def test_the_content_hash_is_of_what_is_asked() -> None:
    same = (
        "# a comment\n" + STUDY.replace("trainable: segdec\n", "") + "trainable: segdec\nkeep: {probes: 3}\n"
    )
    assert make_plan(same).study.content_hash == PLAN.study.content_hash
    stored = plan_of_table(table_of_plan(PLAN))
    assert stored.study.content_hash == PLAN.study.content_hash
    other = make_plan(STUDY.replace("[0, 1, 2]", "[0, 1, 2, 3]"))
    assert other.study.content_hash != PLAN.study.content_hash
