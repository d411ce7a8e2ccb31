"""Every error that Nicobar raises on purpose.

NicobarError                 reason: code, what happened (to which id) and what to do next
├── Refusal                  a request that is answered with a 4xx or 5xx; adds status, retry_after_s
├── UserError                a command, a setting or a file that cannot be used as it is
│   ├── Conflict             a name or a uid that something else has
│   ├── SettingsError
│   └── ConfigurationError   the file of `nicobar apply`
├── StoreError
│   ├── StoreUnusable        not a database, from a newer version, changed migrations, not writable
│   ├── StoreUnavailable     disk full, read-only, I/O error: may pass; nothing was acknowledged
│   ├── StoreBusy            a bound of the write queue is hit
│   └── StoreMoved           the configuration is not what a change was based on any more; nothing was changed
└── SandboxError             the sandbox itself cannot work; a handler's own failure is a value, not an error
"""

from __future__ import annotations

from typing import Self

from nicobar.reasons import Reason, bounded


class NicobarError(Exception):
    """Something that a person can act on. `detail` and `fix` are the templates of its `reason`, with the values that
    stand in them; as properties they are rendered in English.
    """

    def __init__(self, code: str, detail: str, fix: str = "", /, **values: str | float | Reason) -> None:
        super().__init__(code)
        self.reason = Reason(code=code, template=detail, fix_template=fix, values=bounded(values))

    @property
    def code(self) -> str:
        return self.reason.code

    @property
    def detail(self) -> str:
        return self.reason.detail()

    @property
    def fix(self) -> str:
        return self.reason.fix()

    def __str__(self) -> str:
        return self.reason.text()


class Refusal(NicobarError):
    """A request that is not served. `status` is the HTTP status, `retry_after_s` goes out as Retry-After."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        fix: str = "",
        /,
        *,
        retry_after_s: int | None = None,
        **values: str | float | Reason,
    ) -> None:
        super().__init__(code, detail, fix, **values)
        self.status = status
        self.retry_after_s = retry_after_s


class UserError(NicobarError):
    """What somebody asked for cannot be done as it stands."""

    @classmethod
    def because(cls, why: Reason) -> Self:
        """The error with a reason that was decided elsewhere."""
        error = cls(why.code, "")
        error.reason = why
        return error


class Conflict(UserError):
    """Something else has this name or uid."""

    def __init__(self, detail: str, fix: str = "", /, **values: str | float | Reason) -> None:
        super().__init__("conflict", detail, fix, **values)


class SettingsError(UserError):
    """A setting is unknown, malformed or out of its range."""


class ConfigurationError(UserError):
    """The file of `nicobar apply` says something that cannot be applied. Nothing of it was applied."""


class StoreError(NicobarError):
    """The database did not do what was asked."""


class StoreUnusable(StoreError):
    """The database cannot be opened at all; waiting will not help."""


class StoreUnavailable(StoreError):
    """The database refused this write or read; it may work again later. Nothing was acknowledged."""


class StoreBusy(StoreError):
    """Too much is waiting to be written. Nothing was acknowledged."""


class StoreMoved(StoreError):
    """Somebody else changed the configuration after it was read for this change. Nothing was changed."""


class SandboxError(NicobarError):
    """The sandbox's processes cannot be started or kept."""
