"""The fields of an endpoint's form, and the texts next to it."""

from __future__ import annotations

from nicobar.connectors import Example, Field, FieldKind, IdentityQuestion
from nicobar.people import Fallback

SETUP = (
    "In Customer.io, go to Settings > API Credentials > Track API Keys.",
    "Copy the Site ID and API key of the workspace with your campaigns. App API keys don't work here.",
    "Choose your account's region: EU if your Customer.io URL starts with eu, otherwise US.",
    "Check the credentials, then continue. Nothing is sent until you create the endpoint.",
)
SETUP_NOTE = "The key is stored encrypted, won't be shown again and is never available to the transformation."
TEST_NOTES = (
    "The person is created or updated with the attributes shown.",
    "Campaigns triggered by the event start, and their emails go to the person's email address.",
    "Test events carry nicobar_test: true and their own id, so the real event is not dropped as a duplicate.",
)
EXAMPLE = Example(settings={}, credentials={"site_id": "dry-run", "api_key": "dry-run"})
IDENTITY_QUESTION = IdentityQuestion(
    title="How does your app identify people in Customer.io?",
    look="In Customer.io, go to Settings > Workspace Settings: the identifiers of the workspace are listed there. "
    "Open a person whom your app has added: a person with an id of your app is identified by it.",
    by_metadata="By my own user ID, which my checkout passes in metadata",
    by_email="By email, or I don't know",
    by_customer_id="Only %(sender)s sends people, and the workspace does not use email as an identifier",
    unanswered="Until then, the transformation decides. If it uses the customer ID of the payment platform, people "
    "whom your app has added to Customer.io get a second profile without an email address, and receive no emails.",
)
FIELDS = (
    Field(
        name="site_id",
        label="Site ID",
        kind=FieldKind.SECRET,
        help="In Customer.io: Settings > API Credentials > Track API Keys.",
        required=True,
    ),
    Field(
        name="api_key",
        label="API key",
        kind=FieldKind.SECRET,
        help="The API key next to the Site ID, under Settings > API Credentials > Track API Keys.",
        required=True,
    ),
    Field(
        name="app_api_key",
        label="App API key",
        kind=FieldKind.SECRET,
        help="Optional, from Settings > API Credentials > App API Keys. When you ask, Nicobar looks up people, "
        "campaigns and failed changes with it. Nicobar only reads (GET requests), but Customer.io cannot limit such "
        "a key to reading.",
    ),
    Field(
        name="region",
        label="Region",
        kind=FieldKind.CHOICE,
        help="us or eu: where your Customer.io workspace is hosted.",
        choices=("us", "eu"),
        default="us",
    ),
    Field(
        name="base_url",
        label="Base URL",
        kind=FieldKind.URL,
        help="Optional. A different Track API server, such as the emulator at http://127.0.0.1:8081.",
    ),
    Field(
        name="identify_by",
        label="Identify people by",
        kind=FieldKind.TEXT,
        help="metadata.KEY, email or customer_id: what identifies people in your Customer.io workspace.",
    ),
    Field(
        name="identify_fallback",
        label="Without the metadata",
        kind=FieldKind.CHOICE,
        help="email or reject: identify a customer whose metadata has no id by email, or send nothing.",
        choices=tuple(Fallback),
        default=Fallback.EMAIL.value,
    ),
    Field(
        name="correct_identifier",
        label="Identify the customer",
        kind=FieldKind.SWITCH,
        help="true or false: replace the sender's customer ID in calls by what identifies people, if that is set.",
        default=True,
    ),
    Field(
        name="trust_metadata",
        label="Trust the metadata",
        kind=FieldKind.SWITCH,
        help="true or false: send email, id, name and phone to people identified by metadata. Buyers may set "
        "metadata of static payment links, and could change another person's address.",
        default=False,
    ),
    Field(
        name="event_ids_by",
        label="Event IDs as before",
        kind=FieldKind.TEXT,
        help="Nicobar sets it to metadata.KEY where a recipe had the variable IDENTIFIER. Keep it: without it, "
        "events that are replayed would count twice.",
    ),
    Field(
        name="event_names",
        label="Event names",
        kind=FieldKind.MAP,
        help="Optional, one per line: the handler's name = the name to send, such as payment_succeeded = Order paid. "
        "At most 300.",
    ),
    Field(
        name="attribute_names",
        label="Attribute names",
        kind=FieldKind.MAP,
        help="Optional, one per line: the handler's name = the name to send, such as subscription_plan = plan. For "
        "attributes of people, events and objects; email, name and other reserved names stay. At most 300.",
    ),
    Field(
        name="name_prefix",
        label="Name prefix",
        kind=FieldKind.TEXT,
        help="Optional. Text before all other names of events and of people's attributes, such as dodo_. At most 50 "
        "characters.",
    ),
    Field(
        name="product_names",
        label="Product names",
        kind=FieldKind.MAP,
        help="Optional, one per line: the product's ID = its name in emails, such as pdt_1 = Pro. Handlers read it "
        "as product_name. At most 1,000.",
    ),
    Field(
        name="keep_profile",
        label="Keep profiles up to date",
        kind=FieldKind.SWITCH,
        help="true or false: send the customer's email and name before events. Campaign emails need an address.",
        default=True,
    ),
    Field(
        name="correct_action",
        label="Send unknown actions as events",
        kind=FieldKind.SWITCH,
        help="true or false: send calls with an unknown action as events if they have a name.",
        default=True,
    ),
    Field(
        name="correct_event_id",
        label="Add event IDs",
        kind=FieldKind.SWITCH,
        help="true or false: add a ULID to events so that Customer.io ignores duplicates.",
        default=True,
    ),
    Field(
        name="correct_timestamp",
        label="Add event timestamps",
        kind=FieldKind.SWITCH,
        help="true or false: send the time of events as the Unix seconds that Customer.io expects.",
        default=True,
    ),
)
