"""`python -m nicobar`: the command line."""

from __future__ import annotations

from nicobar.cli import main

main()
