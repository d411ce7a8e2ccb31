"""How long a test waits for what has to come. No promise is about time: a busy machine only makes a test longer, and
what never comes fails instead of hanging.
"""

from __future__ import annotations

PATIENCE_S = 100
PATIENCE_MS = PATIENCE_S * 1_000
