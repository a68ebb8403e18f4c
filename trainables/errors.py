"""The one exception a user may see: bad input, said so that it can be mended."""


class InputError(ValueError):
    """Input that breaks a rule.

    The text states the rule, the value found and what to do, and names the file or key. The command
    line prints it without a traceback and exits with 2.
    """
