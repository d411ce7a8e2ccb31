"""The short form of `make fuzz`: the same changed inputs each time, for every target."""

from __future__ import annotations

from importlib import import_module

import pytest

from fuzz.mutations import mutations
from fuzz.names import target_names

SEED = 20_261_127
EXECUTIONS = 500
# Those that cost more.
FEWER_EXECUTIONS = {
    "addresses": 200,
    "api_requests": 300,
    "emulator_requests": 100,
    "personal_data": 150,
    "provider_tokens": 150,
    "request_headers": 250,
    "settings_values": 100,
    "transformation_output": 200,
    "whole_application": 80,
}


@pytest.mark.parametrize("name", target_names())
def test_no_input_breaks_a_target(name):
    target = import_module(f"fuzz.targets.{name}")
    assert target.SEEDS
    try:
        for data in mutations(target.SEEDS, FEWER_EXECUTIONS.get(name, EXECUTIONS), SEED):
            try:
                target.run(data)
            except Exception as error:
                error.add_note(f"fuzz.targets.{name}.run({data!r})")
                raise
    finally:
        getattr(target, "close", lambda: None)()


def test_changes_are_the_same_each_time():
    assert list(mutations([b"abc"], 50, SEED)) == list(mutations([b"abc"], 50, SEED))
    assert len(set(mutations([b"abc", b"de"], 50, SEED))) > 40
