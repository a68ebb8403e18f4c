"""Exceptions with a meaning beyond their text: bad input, and a training that ran away."""


class InputError(ValueError):
    """Input that breaks a rule.

    The text states the rule, the value found and what to do, and names the file or key. The command
    line prints it without a traceback and exits with 2.
    """


class Diverged(ArithmeticError):  # noqa: N818 (a finding about settings, not a fault)
    """A training whose loss or weights are no longer finite: a result of its settings, not a fault.

    Attributes:
        epoch: Epoch (from 0) after which it was found.
        found: What was found, in words.
    """

    def __init__(self, epoch: int, found: str) -> None:
        super().__init__(epoch, found)
        self.epoch = epoch
        self.found = found

    def __str__(self) -> str:
        return f"training diverged in epoch {self.epoch}: {self.found}"
