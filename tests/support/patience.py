"""How long a test waits for an expected result. No promise is about time: a busy machine only makes a test longer,
and a missing result fails the test instead of blocking it.
"""

from __future__ import annotations

PATIENCE_S = 100
PATIENCE_MS = PATIENCE_S * 1_000
