"""`python -m bench.factless`: `nicobar` with events that state no facts, for what facts cost."""

from __future__ import annotations

from nicobar.cli import main
from nicobar.sources.dodo import facts

if __name__ == "__main__":
    setattr(facts, "stated", lambda _read, _customer: ())  # noqa: B010 - replaces a function
    main()
