"""The settings of the emulated workspace: what identifies people, and how identify calls are processed. Where
Customer.io's documentation disagrees with itself or is silent, a setting chooses the reading.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from nicobar.model import Json, Record


class Identifiers(StrEnum):
    """What identifies people besides `cio_id`, as the workspace settings name it. `email or id` is the default of new
    workspaces: https://docs.customer.io/accounts-and-workspaces/workspaces.
    """

    EMAIL_OR_ID = "email or id"
    ID = "id only"
    EMAIL = "email only"


class IdConflict(StrEnum):
    """What an identify with a new id does that names an email address whose owner has another id. The text of the
    Track API's identify says that the owner gets the identifier of the path (`replace`), and then that an identifier
    that is set changes only by `cio_id`: the owner keeps the id, a new person is created without the address, and the
    address is an attribute update failure (`keep`).
    """

    KEEP = "keep"
    REPLACE = "replace"


class Disorder(StrEnum):
    """Which calls take effect in another order than they arrived: https://docs.customer.io/journeys/importing-old-data
    promises no order.
    """

    NONE = "none"
    IDENTIFIES = "identifies"
    ALL = "all"


class Workspace(Record, forbid_unknown_fields=True):
    """`email_updates_by_id` is the setting "allow updates to email using ID"; its default is not documented.
    `automatic_merging` merges two people only if the id's has no email address and the address's has no id.
    Calls that arrived further apart than `out_of_order_within_s` keep their order; the time is not documented.
    `app_api_per_second` limits requests to the App API, 0 does not.
    """

    identifiers: Identifiers = Identifiers.EMAIL_OR_ID
    email_updates_by_id: bool = True
    automatic_merging: bool = True
    id_conflict: IdConflict = IdConflict.KEEP
    out_of_order: Disorder = Disorder.NONE
    out_of_order_seed: int = 1
    out_of_order_within_s: Annotated[int, Meta(ge=1, le=86_400)] = 60
    app_api_per_second: Annotated[int, Meta(ge=0, le=1_000)] = 10

    def identifies(self, kind: str) -> bool:
        """Whether this kind of identifier is unique to a person. Phone numbers always are: the setting does not
        mention them.
        """
        disabled = {Identifiers.ID: "email", Identifiers.EMAIL: "id"}.get(self.identifiers)
        return kind != disabled


def in_path(identifiers: Json, workspace: Workspace) -> Json:
    """The identifier in the path of a v1 call, whose kind is derived from its form. Where only ids identify people,
    an email address in the path is an id, as workspaces had before they knew both.
    """
    if workspace.identifiers is Identifiers.ID and isinstance(identifiers, dict) and "email" in identifiers:
        return {"id": identifiers["email"]}
    return identifiers
