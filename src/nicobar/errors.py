"""Every error that Nicobar raises on purpose.

NicobarError                 code, detail (what happened, to which id), fix (what to do next)
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


class NicobarError(Exception):
    """Something that a person can act on. `code` is snake_case and stable; `detail` and `fix` are sentences."""

    def __init__(self, code: str, detail: str, fix: str = "") -> None:
        super().__init__(f"{detail} {fix}".strip())
        self.code = code
        self.detail = detail
        self.fix = fix


class Refusal(NicobarError):
    """A request that is not served. `status` is the HTTP status, `retry_after_s` goes out as Retry-After."""

    def __init__(
        self, status: int, code: str, detail: str, fix: str = "", *, retry_after_s: int | None = None
    ) -> None:
        super().__init__(code, detail, fix)
        self.status = status
        self.retry_after_s = retry_after_s


class UserError(NicobarError):
    """What somebody asked for cannot be done as it stands."""


class Conflict(UserError):
    """Something else has this name or uid."""

    def __init__(self, detail: str, fix: str = "") -> None:
        super().__init__("conflict", detail, fix)


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
