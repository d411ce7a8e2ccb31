"""Line-by-line differences between two texts."""

from __future__ import annotations

import difflib

from nicobar.model import Record

# Comparing takes time that grows with the product of both lengths.
MAX_LINES = 2_000
CONTEXT_LINES = 3


class Line(Record):
    """A line of both texts (`sign` is a space), of the old text (`-`) or of the new text (`+`). The sign `…` stands
    for `skipped` unchanged lines. Line numbers start at 1; None if the text does not have the line.
    """

    sign: str
    text: str
    before: int | None = None
    after: int | None = None
    skipped: int = 0


class Difference(Record):
    """`lines` is None if the texts are too long to compare."""

    lines: tuple[Line, ...] | None
    added: int = 0
    removed: int = 0

    @property
    def is_empty(self) -> bool:
        return self.lines is not None and not self.added and not self.removed


def compare(before: str, after: str) -> Difference:
    """The removed and added lines, with unchanged lines around them."""
    old, new = before.splitlines(), after.splitlines()
    if max(len(old), len(new)) > MAX_LINES:
        return Difference(lines=None)
    lines: list[Line] = []
    for tag, old_start, old_end, new_start, new_end in difflib.SequenceMatcher(None, old, new).get_opcodes():
        if tag == "equal":
            both = zip(range(old_start, old_end), range(new_start, new_end), strict=True)
            lines += [Line(sign=" ", text=old[i], before=i + 1, after=j + 1) for i, j in both]
            continue
        lines += [Line(sign="-", text=old[i], before=i + 1) for i in range(old_start, old_end)]
        lines += [Line(sign="+", text=new[j], after=j + 1) for j in range(new_start, new_end)]
    return Difference(
        lines=tuple(_folded(lines)),
        added=sum(line.sign == "+" for line in lines),
        removed=sum(line.sign == "-" for line in lines),
    )


def _folded(lines: list[Line]) -> list[Line]:
    """Without the unchanged lines that are more than CONTEXT_LINES from a change."""
    changed = [place for place, line in enumerate(lines) if line.sign != " "]
    near = {
        place
        for change in changed
        for place in range(max(0, change - CONTEXT_LINES), min(len(lines), change + CONTEXT_LINES + 1))
    }
    folded: list[Line] = []
    for place, line in enumerate(lines):
        if place in near:
            folded.append(line)
        elif folded and folded[-1].sign == "…":
            folded[-1] = Line(sign="…", text="", skipped=folded[-1].skipped + 1)
        else:
            folded.append(Line(sign="…", text="", skipped=1))
    return folded
