"""A report as a page, and how it is written: Markdown, LaTeX, HTML; one file for each form."""
