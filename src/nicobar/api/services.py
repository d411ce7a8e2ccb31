"""What the API's handlers work with."""

from __future__ import annotations

from nicobar.admin.services import Services

__all__ = ["Services"]
