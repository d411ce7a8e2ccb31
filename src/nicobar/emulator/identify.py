"""Which person an identify call is about, and which identifiers it may change.

The documentation is https://docs.customer.io/integrations/api/track/tag/track-customers/identify/ ("identify") and
https://docs.customer.io/journeys/merge-people ("merging"). "Not documented" marks what neither says.
"""

from __future__ import annotations

from collections.abc import Mapping

from nicobar.emulator.items import kept
from nicobar.emulator.people import People, Person
from nicobar.emulator.workspace import IdConflict, Identifiers, Workspace
from nicobar.model import Json, Record

OTHER = {"id": "email", "email": "id"}


class Found(Record):
    """`person` is None for a new one; `merges` is another person who becomes part of `person` first."""

    person: Person | None
    merges: Person | None = None


def find(people: People, workspace: Workspace, name: tuple[str, str], given: Mapping[str, Json]) -> Found:
    """The person that a call about `name` with the attributes `given` updates. The workspace identifies people by the
    kind of `name`.
    """
    kind, value = name
    person = people.find(kind, value)
    if kind not in OTHER:
        return Found(person=person)
    text = kept(given.get(OTHER[kind]))
    owner = people.find(OTHER[kind], text) if text else None
    if owner is None or owner is person:
        return Found(person=person)
    if person is None:
        # identify: an identifier in the path without an owner is assigned to the person whom the body names.
        # Its text includes a person with another such identifier; see IdConflict.
        is_free = getattr(owner, kind) is None
        return Found(person=owner if is_free or workspace.id_conflict is IdConflict.REPLACE else None)
    by_id, by_email = (person, owner) if kind == "id" else (owner, person)
    # merging: the two people complete each other. Which of both remains is not documented; here the person
    # with the id remains, because a set id does not change.
    if workspace.automatic_merging and by_id.email is None and by_email.id is None:
        return Found(person=by_id, merges=by_email)
    # identify: the call updates the person in the path; the other identifier is an attribute update failure.
    return Found(person=person)


def refusal(people: People, workspace: Workspace, person: Person, change: tuple[str, str], by: str) -> str:
    """Why a call that names a person `by` a kind of identifier may not change an identifier to this value, empty to
    remove it. Empty if it may.
    """
    kind, text = change
    if not workspace.identifies(kind):
        return ""
    current: str | None = getattr(person, kind)
    if current is not None and by != "cio_id" and _is_other(kind, current, text):
        # identify: a set identifier changes only by cio_id, an email address also by id if the workspace allows it.
        if kind == "id":
            return f"the person has the id {current}, which changes only by cio_id"
        if kind == "email" and by == "email":
            return f"the person has the address {current}, which changes only by id or cio_id"
        if kind == "email" and by == "id" and not workspace.email_updates_by_id:
            return "the workspace does not allow updates to email using ID"
    owner = people.find(kind, text) if text else None
    if owner is not None and owner is not person:
        return f"it belongs to {owner.key}"
    return "it is suppressed" if people.is_suppressed(kind, text) else ""


def _is_other(kind: str, current: str, text: str) -> bool:
    return current.casefold() != text.casefold() if kind == "email" else current != text


def disabled(workspace: Workspace, kind: str) -> str:
    """Why a call that names a person by this kind of identifier has no effect; empty if it has.

    https://docs.customer.io/journeys/getting-started-workspaces: people cannot be added by email addresses where
    these do not identify them. The answer is not documented; here it is 200, because calls take effect later. Calls
    by id where only email addresses identify people are not documented; here they have no effect either.
    """
    if workspace.identifies(kind):
        return ""
    by = "id" if workspace.identifiers is Identifiers.ID else "email"
    return f"the workspace identifies people by {by} only, not by {kind}"
