"""The figures of a report: what each shows, and how it is drawn.

Figures know no statistics: :mod:`assay.analysis` says what is shown, and :mod:`.drawing` gives them one
style.
"""
