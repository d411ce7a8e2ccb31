"""Why something failed, was changed or has to wait, as a value: created where it is decided, stored unchanged, and
rendered in the reader's language where it is displayed.

`template` and `fix_template` are literals with placeholders, `Add %(field)s.`; they are also the keys of the
translations. `scripts/messages.py` finds them in the calls of `reason` and of the errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

MAX_VALUE_CHARS = 1_000
_LEFT_OUT = "…"
_STATUS = re.compile(r"[1-5]\d\d")
_PLACE = re.compile(r"%(?:\((\w+)\)s|%)")

Translate = Callable[[str], str]


def _english(template: str) -> str:
    return template


class Reason(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`code` is snake_case and stable. `location` is the line in the handler's source, counted from 1, or a path into
    a call, `[call].field.field`. A value may be a nested reason, the cause of this one.
    """

    code: str
    template: str
    fix_template: str = ""
    values: dict[str, str | int | float | Reason] = {}
    location: int | str | None = None

    def detail(self, translate: Translate = _english) -> str:
        """What happened."""
        return self._filled(self.template, lambda nested: nested.text(translate), translate)

    def fix(self, translate: Translate = _english) -> str:
        """What to do; may be empty."""
        return self._filled(self.fix_template, lambda nested: nested.text(translate), translate)

    def text(self, translate: Translate = _english) -> str:
        """The location, what happened and what to do."""
        text = f"{self.detail(translate)} {self.fix(translate)}".rstrip()
        match self.location:
            case None | "":
                return text
            case int(line):
                return reason("", "line %(line)s: %(reason)s", line=line, reason=text).detail(translate)
            case path:
                return f"{path}: {text}"

    def outline(self) -> str:
        """The reason without its values, for text that leaves Nicobar. Of the location, only a line is kept: a path
        may contain names from the event.
        """
        detail, fix = (self._filled(part, None, _english) for part in (self.template, self.fix_template))
        line = f"line {self.location}: " if isinstance(self.location, int) else ""
        return f"{line}{detail} {fix}".rstrip()

    def without_texts(self) -> Reason:
        """The reason for logs: texts may be from an event or a response; numbers are Nicobar's own, and statuses are
        kept too. Of the location, only a line is kept, as in `outline`.
        """
        shown = self.with_texts(lambda text: text if _STATUS.fullmatch(text) else _LEFT_OUT)
        return shown if isinstance(self.location, int) else msgspec.structs.replace(shown, location=None)

    @property
    def key(self) -> str:
        """Groups equal reasons: the codes and locations of this reason and of nested ones."""
        match self.location:
            case None | "":
                where = ""
            case int(line):
                where = f" line {line}"
            case path:
                where = f" {path}"
        return "/".join([f"{self.code}{where}", *(value.key for value in self._nested())])

    @property
    def line(self) -> int | None:
        """The line in the handler's source, of this reason or of a nested one."""
        if isinstance(self.location, int):
            return self.location
        return next((value.line for value in self._nested() if value.line is not None), None)

    def with_texts(self, change: Callable[[str], str]) -> Reason:
        """The reason with `change` applied to every text value, including those of nested reasons."""

        def changed(value: str | float | Reason) -> str | int | float | Reason:
            if isinstance(value, Reason):
                return value.with_texts(change)
            return change(value) if isinstance(value, str) else value

        return msgspec.structs.replace(self, values={name: changed(value) for name, value in self.values.items()})

    def _nested(self) -> list[Reason]:
        return [value for value in self.values.values() if isinstance(value, Reason)]

    def _filled(self, template: str, nested: Callable[[Reason], str] | None, translate: Translate) -> str:
        """`nested` renders nested reasons; without it, values are omitted."""
        if not template:
            return ""
        if not self.values:
            return translate(template)

        def value(found: re.Match[str]) -> str:
            if found[1] is None:
                return "%"
            item = self.values.get(found[1], _LEFT_OUT)
            if isinstance(item, Reason):
                return item.outline() if nested is None else nested(item)
            return _LEFT_OUT if nested is None else str(item)

        return _PLACE.sub(value, translate(template))

    def __str__(self) -> str:
        return self.text()


def reason(
    code: str,
    template: str,
    fix: str = "",
    /,
    *,
    location: int | str | None = None,
    **values: str | float | Reason,
) -> Reason:
    """A reason with literal templates. Without values, they have no placeholders, and `%` is literal."""
    return Reason(
        code=code,
        template=template,
        fix_template=fix,
        values=bounded(values),
        location=location,
    )


def plain(text: str) -> Reason:
    """A text without a template: written by a user, or stored before reasons were values."""
    return reason("text", "%(text)s", text=text)


def bounded(values: dict[str, str | int | float | Reason]) -> dict[str, str | int | float | Reason]:
    """The values in their stored form: at most MAX_VALUE_CHARS each, without NUL."""
    return {
        name: value.replace("\0", "")[:MAX_VALUE_CHARS] if isinstance(value, str) else value
        for name, value in values.items()
    }
