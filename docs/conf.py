"""Configuration of the documentation's site, which ``make docs`` builds with Sphinx from the Markdown here.

The source folder is the project's root, so that links between pages are the same here and on a code host.
The navigation is read from the lists of ``docs/index.md``: a page that is not listed there fails the build.
Nothing is loaded from elsewhere, neither while building nor while reading.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = ROOT / "docs" / "settings.md"
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]

project = "assay"
author = "the authors of assay"
project_copyright = "the authors of assay, Apache-2.0"
html_title = "assay"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "platform/assay/extras/*/README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
]
exclude_patterns = [
    ".*",
    "build",
    "dist",
    "assay-storage",
    "trainables",
    "tests",
    "docs/example/*_files",
]

myst_heading_anchors = 4
nitpicky = False
# Page titles of example reports and tables start below the first level, as the program writes them.
suppress_warnings = ["myst.header"]

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_extra_path = ["site"]  # index.html of the site's root, which leads to docs/index.html
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "monokai"

_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
_PAGE = re.compile(r"\]\(([^)#]+)\.md\)")


def navigation(text: str) -> str:
    """Hidden tables of contents, one for each section of the index, of the pages that the section links."""
    _, *parts = _SECTION.split(text)
    return "\n".join(
        f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(_PAGE.findall(body)) + "\n```\n"
        for caption, body in zip(parts[::2], parts[1::2], strict=True)
        if _PAGE.search(body)
    )


def _add_navigation(app: Sphinx, docname: str, content: list[str]) -> None:
    if docname == root_doc:
        content[0] += "\n" + navigation(f"{content[0]}\n## Reference\n\n- [Settings](settings.md)\n")


def _leave_out_aliases(*arguments: object) -> None:
    """Drop the text that Python gives each field of a named tuple: it says nothing."""
    lines = arguments[-1]
    if isinstance(lines, list) and lines and str(lines[0]).startswith("Alias for field number"):
        lines.clear()


def _write_settings(app: Sphinx, config: Config) -> None:
    """Write the page of all settings of all methods, which lies beside the others while the site is built."""
    from assay.study.settings.setting_table import settings_page
    from trainables.plugins.catalogue import TRAINABLES

    SETTINGS.write_text(settings_page(TRAINABLES.values()), encoding="utf-8")


def _remove_settings(app: Sphinx, error: Exception | None) -> None:
    SETTINGS.unlink()


def setup(app: Sphinx) -> None:
    """Hook in the page of settings, the navigation of the index, and the filter of docstrings."""
    app.connect("config-inited", _write_settings)
    app.connect("build-finished", _remove_settings)
    app.connect("source-read", _add_navigation)
    app.connect("autodoc-process-docstring", _leave_out_aliases)
