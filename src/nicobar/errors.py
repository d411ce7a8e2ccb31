"""Every error that Nicobar raises deliberately.

NicobarError                 reason: code, what happened (to which id) and what to do next
├── Refusal                  a request that is answered with a 4xx or 5xx; adds status, retry_after_s
├── UserError                an invalid command, setting or file
│   ├── Conflict             a name or a uid that is already used
│   ├── SettingsError
│   └── ConfigurationError   the file of `nicobar apply`
├── StoreError
│   ├── StoreUnusable        not a database, from a newer version, changed migrations, not writable
│   ├── StoreUnavailable     disk full, read-only, I/O error: may pass; nothing was acknowledged
│   │   └── StoreMoving      the data is being moved to another database
│   ├── StoreBusy            the write queue is full
│   ├── LeaseLost            another worker delivers for the endpoint; nothing was claimed
│   └── StoreMoved           the configuration has changed since a change read it; nothing was changed
└── SandboxError             the sandbox itself cannot work; a handler's own failure is a value, not an error
"""

from __future__ import annotations

from typing import Self

from nicobar.reasons import Reason, bounded


class NicobarError(Exception):
    """Something that a person can act on. `detail` and `fix` are the templates of its `reason`, with their
    values; as properties they are rendered in English.
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
    """A rejected request. `status` is the HTTP status, `retry_after_s` is sent as Retry-After."""

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
    """A request of a user that is invalid."""

    @classmethod
    def because(cls, why: Reason) -> Self:
        """The error with an existing reason."""
        error = cls(why.code, "")
        error.reason = why
        return error


class Conflict(UserError):
    """The name or uid is already used."""

    def __init__(self, detail: str, fix: str = "", /, **values: str | float | Reason) -> None:
        super().__init__("conflict", detail, fix, **values)


class SettingsError(UserError):
    """A setting is unknown, malformed or out of its range."""


class ConfigurationError(UserError):
    """The file of `nicobar apply` is invalid. Nothing of it was applied."""


class StoreError(NicobarError):
    """The database failed."""


class StoreUnusable(StoreError):
    """The database cannot be opened; waiting will not help."""


class StoreUnavailable(StoreError):
    """The database rejected this write or read; it may work later. Nothing was acknowledged."""


class StoreMoving(StoreUnavailable):
    """The data is being moved to another database, or was: this one stores no more of it."""

    def __init__(self, place: str) -> None:
        super().__init__(
            "database_moving",
            f"The data is being moved to {place}, or was moved there.",
            "Wait until `nicobar copy --switch` has finished, then use that database.",
        )


class StoreBusy(StoreError):
    """Too many writes are queued. Nothing was acknowledged."""


class LeaseLost(StoreError):
    """Another worker delivers for the endpoint. Nothing was claimed."""


class StoreMoved(StoreError):
    """The configuration changed after it was read for this change. Nothing was changed."""


class SandboxError(NicobarError):
    """The sandbox processes cannot be started or kept running."""
