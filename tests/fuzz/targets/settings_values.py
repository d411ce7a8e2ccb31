"""Settings from a file, from the environment and from flags: values within their bounds, or a sentence that says
which one is wrong and shows no secret.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from fuzz.choices import Choices
from fuzz.targets.configuration_file import File
from fuzz.texts import toml_of
from nicobar.errors import SettingsError, StoreUnusable
from nicobar.setting_sources import read_settings
from nicobar.settings import SECRETS, Settings, shown

NAMES = tuple(field.name for field in msgspec.structs.fields(Settings))
TEXTS = (
    "", "0", "-1", "1", "99999999999999999999", "true", "none", "5s, 5m", "127.0.0.1", "10.0.0.0/8, [::1]:80",
    "::1/999",
    "sqlite:////tmp/a.db", "http://[::1", "http://a:b", "1e3", "٣", "auto", "debug", "worker", "\0",
    "a@b.example, c@d.example",
)  # fmt: skip
URL_SETTINGS = ("database_url", "database_listen_url", "alert_smtp_url", "outbound_proxy")
URLS = (
    "https://user:hidden@proxy.example:8080", "smtp://user:hidden@mail.example", "postgresql://u:hidden@db.example/n",
    "postgresql://db.example/n?password=hidden", "postgresql://u:hidden@[db.example/n", "http://u:hidden@a:b",
    "hidden",
)  # fmt: skip
SEEDS = (b"\0\0port=8080\n", b"\1" + bytes(range(60)), b"\0\0a=" + b"[" * 200, b"\1\1" * 30, b"\3\7\x0b\x0f" * 12)


def run(data: bytes) -> None:
    it = Choices(data)
    file: Path | None = None
    if it.flag():
        file = File(toml_of(it, ("a", "port"), NAMES) if it.flag() else it.chunk())  # type: ignore[assignment]
    environment = {f"NICOBAR_{it.pick(NAMES).upper()}": it.pick((*TEXTS, it.text(20))) for _ in range(it.byte() % 4)}
    flags = {it.pick(NAMES): it.pick((*TEXTS, None)) for _ in range(it.byte() % 3)}
    flags |= {it.pick(URL_SETTINGS): it.pick(URLS) for _ in range(it.byte() % 3)}
    try:
        settings = read_settings(flags, environment, file)
    except SettingsError as error:
        assert error.detail
        assert "hidden" not in str(error)
        return
    for name in NAMES:
        try:
            text = shown(settings, name)
        except StoreUnusable:
            continue
        assert "hidden" not in text
        if name in SECRETS:
            assert text in {"", "***"}
