"""Completes the customers of events from what earlier events said, where an endpoint says what identifies people."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from nicobar.facts import About, needs_facts
from nicobar.people import IdentifyBy, IdentityRule
from nicobar.pipeline.addresses import with_addresses
from nicobar.pipeline.configuration import Configuration, OpenEndpoint
from nicobar.pipeline.transform import Subject, identified
from nicobar.store import Facts


async def completed(
    facts: Facts, configuration: Configuration, target: OpenEndpoint, app_id: str, subjects: Sequence[Subject]
) -> list[Subject]:
    """The subjects with all that is known of their customers, and of their addresses. Raises StoreError."""
    found = await _completed(facts, configuration, target, app_id, subjects)
    return await with_addresses(facts, configuration, target, app_id, found)


async def _completed(
    facts: Facts, configuration: Configuration, target: OpenEndpoint, app_id: str, subjects: Sequence[Subject]
) -> list[Subject]:
    """At most one query for all subjects, none where the events say enough. Without a rule nothing is completed."""
    rule = target.destination.identity_rule
    if rule is None:
        return list(subjects)
    abouts = [subject.about or configuration.about(subject.message) for subject in subjects]
    keys = dict.fromkeys(
        key
        for subject, about in zip(subjects, abouts, strict=True)
        if subject.known is None and _is_looked_up(rule, about)
        for key in about.wanted
    )
    known = dict(await facts.facts(app_id, list(keys))) if keys else {}
    return [
        identified(target, msgspec.structs.replace(subject, about=about, known=subject.known or known))
        for subject, about in zip(subjects, abouts, strict=True)
    ]


def _is_looked_up(rule: IdentityRule, about: About) -> bool:
    """For an id in the metadata always: another id that was stated of the same customer deserves a warning."""
    return rule.by is IdentifyBy.METADATA or needs_facts(rule, about.customer)
