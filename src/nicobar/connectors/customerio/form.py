"""What the form of an endpoint asks for, and what people are told beside it."""

from __future__ import annotations

from nicobar.connectors import Example, Field, FieldKind

SETUP = (
    "In Customer.io, open Settings, then API Credentials, then Track API Keys.",
    (
        "Copy the Site ID and the API key of the workspace that your campaigns are in. The App API's key is "
        "a different one and does not work here."
    ),
    "The region is where your account is: EU if its address begins with eu, else US.",
    "Check the credentials, then continue. Nothing is sent before you create the endpoint.",
)
SETUP_NOTE = "The key is kept encrypted, is never shown again, and never reaches the transformation."
TEST_NOTES = (
    "The person it names is made or changed, and its attributes are set as shown.",
    "Campaigns that wait for its event start, and their emails go out to the address that the person has.",
    ("Events carry nicobar_test: true and an id of their own, so that the real event is not left out for this one."),
)
EXAMPLE = Example(settings={}, credentials={"site_id": "dry-run", "api_key": "dry-run"})
FIELDS = (
    Field(
        name="site_id",
        label="Site ID",
        kind=FieldKind.SECRET,
        help="The workspace's Site ID, from Customer.io's settings under API credentials.",
        required=True,
    ),
    Field(
        name="api_key",
        label="API key",
        kind=FieldKind.SECRET,
        help="The Track API key that belongs to the Site ID.",
        required=True,
    ),
    Field(
        name="region",
        label="Region",
        kind=FieldKind.CHOICE,
        help="Where the workspace is: us or eu.",
        choices=("us", "eu"),
        default="us",
    ),
    Field(
        name="base_url",
        label="Base URL",
        kind=FieldKind.URL,
        help="Another server that speaks the Track API, such as the emulator: http://127.0.0.1:8081.",
    ),
    Field(
        name="keep_profile",
        label="Keep the person's profile up to date",
        kind=FieldKind.SWITCH,
        help="true or false: send the customer's e-mail and name before an event, since a mail needs an address.",
        default=True,
    ),
    Field(
        name="correct_action",
        label="Send unknown actions as events",
        kind=FieldKind.SWITCH,
        help="true or false: an action that Customer.io does not have becomes an event, if there is a name.",
        default=True,
    ),
    Field(
        name="correct_event_id",
        label="Give events an id",
        kind=FieldKind.SWITCH,
        help="true or false: an event gets the ULID that lets Customer.io leave out what it has seen.",
        default=True,
    ),
    Field(
        name="correct_timestamp",
        label="Give events their time",
        kind=FieldKind.SWITCH,
        help="true or false: an event gets its own time, in the form that Customer.io takes.",
        default=True,
    ),
)
