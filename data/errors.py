"""The errors a user or a dataset causes, and the wording that helps to mend them."""

import difflib
from collections.abc import Iterable

_MOST_NAMES_LISTED = 20


class UserError(ValueError):
    """A mistake of the user: one clear line that says what, where and how to mend it.

    The command line prints the line without a traceback and exits with status 2.
    """


class BadExampleError(ValueError):
    """One example is unusable; it goes to quarantine and the rest continues.

    Attributes:
        file: path of the file at fault, as the user would type it.
        reason: one line without the path, for example "empty file (0 bytes)".
        kind: of the problem, one of the keys of `data.checks.findings.KINDS`.
    """

    def __init__(self, file: str, reason: str, kind: str = "unusable") -> None:
        """Stores the attributes; they stay available after pickling."""
        super().__init__(file, reason, kind)
        self.file = file
        self.reason = reason
        self.kind = kind

    def __str__(self) -> str:
        """Returns "file: reason"."""
        return f"{self.file}: {self.reason}"


def nearest(word: str, known: Iterable[str], prefix: str = "") -> str:
    """Words the hint that ends an error about an unknown name.

    Args:
        word: what the user typed; case is ignored in the comparison.
        known: the names that would have been right.
        prefix: what each of them is shown with, as "--".

    Returns:
        " Did you mean `x`?" where one name is close, else " Known: a, b, c."; "" where nothing is known. It
        starts with a space, so that it can be appended to a sentence.
    """
    names = list(dict.fromkeys(known))
    if not names:
        return ""
    by_folded = {name.casefold(): name for name in names}
    close = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.6)
    if close:
        return f" Did you mean `{prefix}{by_folded[close[0]]}`?"
    listed = ", ".join(f"{prefix}{name}" for name in names[:_MOST_NAMES_LISTED])
    more = len(names) - _MOST_NAMES_LISTED
    return f" Known: {listed}, and {more} more." if more > 0 else f" Known: {listed}."
