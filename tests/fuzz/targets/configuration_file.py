"""The configuration file: read, or rejected in one sentence."""

from __future__ import annotations

from pathlib import Path

from fuzz.choices import Choices
from fuzz.texts import toml_of
from nicobar.errors import ConfigurationError, UserError
from nicobar.use_cases.config_file import Document, _patch, _spec, read_document

NAMES = ("name", "kind", "connector", "secrets", "env", "handler", "event_types", "settings", "credentials",
         "variables", "retry_schedule", "max_messages_per_s", "disabled", "description", "url", "to")  # fmt: skip
TABLES = ("sources", "endpoints", "event_types", "alert_targets")
SEEDS = (
    b'\0[[sources]]\nname="a"\nkind="dodo-payments"\nsecrets=[{env="A"}]\n',
    b'\0[[endpoints]]\nname="a"\nconnector="http"\nretry_schedule=["5s"]\nsettings={url="https://a.example/"}\n',
    b"\0a=" + b"[" * 300,
    b"\0a=" + b"9" * 5_000,
    b"\0\xff",
    b"\1" + bytes(range(60)),
)


class File:
    """A path whose text is in memory."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read_text(self, encoding: str) -> str:
        return self._content.decode(encoding)

    def __str__(self) -> str:
        return "nicobar.toml"


def run(data: bytes) -> None:
    it = Choices(data)
    content = toml_of(it, TABLES, NAMES) if it.flag() else it.rest()
    file: Path = File(content)  # type: ignore[assignment]
    try:
        document = read_document(file)
    except ConfigurationError as error:
        assert error.detail
        assert error.fix
        assert len(str(error)) < 10_000 + len(content)
        return
    assert isinstance(document, Document)
    for entry in document.endpoints:
        for made in (
            lambda entry=entry: _spec(entry, {}, {}, None),
            lambda entry=entry: _patch(entry, {}, {}, (), ()),
        ):
            try:
                made()
            except UserError as error:
                assert error.detail
