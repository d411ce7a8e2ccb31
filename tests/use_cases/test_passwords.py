"""Which passwords are allowed, how they are compared, and which browsers are known."""

from __future__ import annotations

import asyncio
import threading

import msgspec
import pytest

from nicobar.crypto import Vault, new_key
from nicobar.errors import Refusal, UserError
from nicobar.model import User, UserRole
from nicobar.use_cases.passwords import MAX_HASHES, MAX_WAITING_HASHES, PasswordWork, check_password
from nicobar.use_cases.sign_in import BROWSER_MS, known_browser_id, new_browser

ADA = User(id="usr_1", name="ada", role=UserRole.VIEWER, password_hash="$argon2id$x", created_at_ms=1)


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short", "password_short"),
        ("x" * 1_001, "password_long"),
        (" " * 20, "password_common"),
        ("aaaaaaaaaaaa", "password_common"),
        ("1234567890", "password_common"),
        ("qwertyuiop", "password_common"),
        ("Password123!", "password_common"),
        ("p@ssw0rd1234", "password_common"),
        ("lindqvist2026", "password_common"),
        ("nicobarnicobar", "password_common"),
        ("Nicobar2026!", "password_common"),
        ("ada-Lindqvist1", "password_common"),
        ("안녕안녕안녕안녕안녕", "password_common"),
        ("a" * 1_000, "password_common"),
    ],
)
def test_passwords_that_are_easy_to_guess_are_refused(password, code):
    with pytest.raises(UserError) as refused:
        check_password(password, password, "ada@lindqvist.example")
    assert refused.value.code == code


@pytest.mark.parametrize(
    "password", ["a pigeon finds its way", "x7#kQ9!mZp2", "lindqvist#kQ9!mZp2", "등대와 비둘기와 우표"]
)
def test_passwords_that_are_hard_to_guess_are_accepted(password):
    check_password(password, password, "lindqvist")


async def test_few_passwords_are_hashed_at_once_and_few_wait():
    work, go = PasswordWork(), threading.Event()
    running, most_running = 0, 0
    lock = threading.Lock()

    def hash_slowly() -> bool:
        nonlocal running, most_running
        with lock:
            running += 1
            most_running = max(most_running, running)
        go.wait()
        with lock:
            running -= 1
        return True

    tasks = [asyncio.create_task(work.run(hash_slowly)) for _ in range(MAX_WAITING_HASHES)]
    await asyncio.sleep(0)
    with pytest.raises(Refusal) as refused:
        await work.run(hash_slowly)
    assert (refused.value.status, refused.value.retry_after_s) == (503, 1)
    go.set()
    assert all(await asyncio.gather(*tasks))
    assert most_running <= MAX_HASHES
    assert await work.run(hash_slowly), "there is room again"


def test_only_a_user_s_own_fresh_browser_cookie_is_known():
    vault = Vault(new_key())
    cookie = new_browser(vault, ADA, 0)
    assert known_browser_id(vault, ADA, cookie, BROWSER_MS - 1)
    assert known_browser_id(vault, ADA, cookie, 0) != known_browser_id(vault, ADA, new_browser(vault, ADA, 0), 0)
    eve = msgspec.structs.replace(ADA, id="usr_2")
    changed = msgspec.structs.replace(ADA, password_hash="$argon2id$y")
    assert known_browser_id(vault, ADA, cookie, BROWSER_MS) is None
    assert known_browser_id(vault, eve, cookie, 0) is None
    assert known_browser_id(vault, changed, cookie, 0) is None, "the password has changed since"
    assert known_browser_id(Vault(new_key()), ADA, cookie, 0) is None
    for other in ("", "x", "é", "AAAA", cookie[:-8], cookie * 9):
        assert known_browser_id(vault, ADA, other, 0) is None
