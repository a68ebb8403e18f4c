"""The question of a pull request: does this change of method code make a study worse? ``assay gate``.

A declared study is trained with the code of both revisions, each checked out into a folder of its own, into a
storage of its own below ``gate/<code>/``: so a base is trained once. Repeats are paired by seed, the looks
are those of ``repeats.decide`` (:mod:`assay.statistics.interim_looks`).
"""

from assay.extras import Extra

EXTRA = Extra(
    name="gate",
    summary="Does a change of method code make a study worse? For pull requests.",
    commands={"assay gate gate.yaml origin/main HEAD --junit gate.xml": "assay.extras.gate.command:gate"},
    answers={"gate": "assay.extras.gate.writing:GateAnswer"},
)
