"""Statistics of a study's repeats: comparisons, effects, intervals over test items. Tables in, results out.

>>> results = compare(table, [comparison("stop: off → on", "off", "on")], metric="image_ap")
>>> print(sentence(results[0]))
suggested: +0.021 [0.008, 0.034], better in 5 of 5, p = .0625. With 5 repeats the exact test cannot go …

``table`` is a study's ``summary.parquet``: one row per trial and metric. Nothing here reads or writes files.
``compare`` and ``Rules`` lie in ``families``, ``comparison`` in ``contrasts``, ``sentence`` in ``wording``.
"""
