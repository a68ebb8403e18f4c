"""Parts of a page that scripts draw: one code for the dashboard, notebooks and files.

Nothing is asked of a server and nothing is loaded: a part has its markup, styles, scripts and one payload.
"""

from __future__ import annotations

import base64
from importlib.resources import files
from typing import NamedTuple, Self

__all__ = ["Component"]

# What Streamlit sets for its components, from the colours of a report's page or those of the system.
_STYLE = """\
:host {
  --st-text-color: var(--ink, CanvasText); --st-background-color: var(--paper, Canvas);
  --st-font: system-ui, sans-serif; --st-primary-color: var(--link, #0072b2);
  --st-border-color: var(--line, GrayText); --doubt: light-dark(#b35000, #f2a05a); display: block;
}
"""


class Component(NamedTuple):
    """Texts of a part of a page."""

    name: str  # of the class of its element
    html: str
    css: str
    js: str
    show: str  # the function of ``js`` that takes ``{data, parentElement, setStateValue}``

    @classmethod
    def of(cls, package: str, name: str, *, html: str, css: str, js: tuple[str, ...], show: str) -> Self:
        """A component from the files of a package; ``html`` is markup and no file."""
        folder = files(package)
        style, *scripts = (folder.joinpath(file).read_text(encoding="utf-8") for file in (css, *js))
        return cls(name, html, style, "".join(scripts), show)

    @property
    def module(self) -> str:
        """The scripts as one module, as Streamlit takes them: inline scripts cannot import."""
        return f"{self.js}\nexport default {self.show};\n"

    def markup(self, payload: bytes) -> str:
        """The part in a tree of its own: neither it nor the page meets the other's styles and names."""
        return (
            f'<div class="{self.name}"><template shadowrootmode="open">\n'
            f"<style>\n{_STYLE}{self.css}</style>\n{self.html}</template></div>\n"
            f"<script>\n(() => {{\n{self.js}\n"
            f'const bytes = atob("{base64.b64encode(payload).decode()}");\n'
            "const data = Uint8Array.from(bytes, (sign) => sign.charCodeAt(0));\n"
            "const parentElement = document.currentScript.previousElementSibling.shadowRoot;\n"
            f"{self.show}({{ data, parentElement, setStateValue() {{}} }});\n}})();\n</script>"
        )
