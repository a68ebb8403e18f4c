"""A report as a page, and how it is written: Markdown, LaTeX, HTML, CSV; one file for each form."""
