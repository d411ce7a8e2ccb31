from collections.abc import Sequence
from typing import TypedDict

class Judgment(TypedDict):
    score: int

def zxcvbn(password: str, user_inputs: Sequence[str] | None = None, max_length: int = 72) -> Judgment: ...
