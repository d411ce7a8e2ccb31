"""What can be done with endpoints, and through which interfaces."""

from __future__ import annotations

from http import HTTPStatus

from nicobar.audit import AuditAction
from nicobar.reasons import plain
from nicobar.store import Change, PauseEndpoint
from nicobar.use_cases.restore import RESTORED
from support.parity import NAME, Interface, Operation, Said, World, api, command, file, form

PATH = "/api/v1/app/default/endpoint"
ONE = f"{PATH}/<endpoint>"
PAGE = "/webhooks/<endpoint>"
SOURCE = '[[sources]]\nname = "shop"\nkind = "dodo-payments"\nsecrets = [{ env = "SECRET" }]\n'
FORM = {"name": NAME, "field_url": "<emulator>/hooks", "types": "all"}
LONG = "n" * 257
ELSEWHERE = "http://10.1.2.3/hooks"


def entry(more: str = "", url: str = "<emulator>/hooks") -> str:
    return (
        f'{SOURCE}[[endpoints]]\nname = "{NAME}"\nconnector = "http"\n{more}\n'
        f'settings = {{ url = "{url}" }}\ncredentials = {{ secret = {{ env = "SECRET" }} }}\n'
    )


def nothing(world: World) -> list[Change]:
    return [world.source()]


def enabled(world: World) -> list[Change]:
    return [world.source(), world.endpoint()]


def fast(world: World) -> list[Change]:
    return [world.source(), world.endpoint(max_messages_per_s=100_000)]


def with_retries(world: World) -> list[Change]:
    return [world.source(), world.endpoint(retry_after_ms=(1_000,))]


def disabled(world: World) -> list[Change]:
    return [world.source(), world.endpoint(disabled=True)]


def two(world: World) -> list[Change]:
    return [world.source(), world.endpoint(), world.endpoint(name="other")]


def paused(world: World) -> list[Change]:
    endpoint = world.endpoint()
    return [
        world.source(),
        endpoint,
        PauseEndpoint(endpoint_id=endpoint.id, reason=plain("moving house"), by_hand=True),
    ]


def restored(world: World) -> list[Change]:
    endpoint = world.endpoint()
    return [world.source(), endpoint, PauseEndpoint(endpoint_id=endpoint.id, reason=RESTORED, by_hand=True)]


def with_headers(world: World) -> list[Change]:
    return [world.source(), world.endpoint(headers={"X-Shop": "1", "Authorization": "Bearer stored"})]


def with_header(world: World) -> list[Change]:
    return [world.source(), world.endpoint(headers={"authorization": "Bearer stored"})]


def undecided(world: World) -> list[Change]:
    """An endpoint without an answer to what identifies people."""
    endpoint = world.endpoint(
        kind="customerio",
        settings={"base_url": world.nicobar.emulator.url},
        credentials={"site_id": "demo-site", "api_key": "demo-key"},
        references={"site_id": "SITE_ID", "api_key": "API_KEY"},
    )
    return [world.source(), endpoint]


async def check_draft(world: World) -> Said:
    """The button of the form of a new endpoint: the draft is stored, and its page asks the destination."""
    begin = form(
        "/webhooks/new/customerio",
        field_site_id="demo-site",
        field_api_key="demo-key",
        action="check",
        field_base_url="<emulator>",
    )
    await begin(world)
    status, text, _ = await world.visitor.ask("GET", world.values["draft"])
    return Said(done=status == HTTPStatus.OK, text=text)


OPERATIONS = (
    Operation(
        "create an endpoint",
        (AuditAction.ENDPOINT_CREATE,),
        nothing,
        {
            Interface.API: api(
                "POST", PATH, {"name": NAME, "url": "<emulator>/hooks", "secret": "<secret>", "throttleRate": None}
            ),
            Interface.DASHBOARD: form(
                "/webhooks/new/http",
                "<draft>/create",
                name=NAME,
                field_url="<emulator>/hooks",
                field_secret="<secret>",
            ),
            Interface.FILE: file(entry()),
        },
    ),
    Operation(
        "create an endpoint that begins with a recipe",
        (AuditAction.ENDPOINT_CREATE,),
        nothing,
        {
            Interface.API: api(
                "POST",
                PATH,
                {
                    "name": NAME,
                    "connector": {
                        "kind": "customerio",
                        "config": {
                            "site_id": "demo-site",
                            "api_key": "demo-key",
                            "region": "eu",
                            "base_url": "<emulator>",
                            "identify_by": "metadata.user_id",
                            "correct_identifier": True,
                            "event_names": {"payment_succeeded": "Order paid", "a": "b"},
                            "attribute_names": {"plan": "tarif"},
                            "name_prefix": "shop_",
                            "product_names": {"pdt_1": "Pro"},
                            "keep_profile": True,
                            "correct_action": True,
                            "correct_event_id": False,
                            "correct_timestamp": False,
                        },
                    },
                },
            ),
            Interface.DASHBOARD: form(
                "/webhooks/new/customerio",
                "<draft>/people?identify=metadata&key=user_id",
                "<draft>/create",
                name=NAME,
                field_site_id="demo-site",
                field_api_key="demo-key",
                field_region="eu",
                field_base_url="<emulator>",
                action="anyway",
                field_correct_identifier="on",
                field_event_names="payment_succeeded = Order paid\na = b\n",
                field_attribute_names="plan=tarif",
                field_name_prefix="shop_",
                field_product_names="pdt_1 = Pro",
                field_keep_profile="on",
                field_correct_action="on",
            ),
            Interface.FILE: file(
                f'{SOURCE}[[endpoints]]\nname = "{NAME}"\nconnector = "customerio"\n'
                'settings = { region = "eu", base_url = "<emulator>", identify_by = "metadata.user_id", '
                'event_names = { payment_succeeded = "Order paid", a = "b" }, attribute_names = { plan = "tarif" }, '
                'name_prefix = "shop_", product_names = { pdt_1 = "Pro" }, '
                "correct_identifier = true, keep_profile = true, correct_action = true, "
                "correct_event_id = false, correct_timestamp = false }\n"
                'credentials = { site_id = { env = "SITE_ID" }, api_key = { env = "API_KEY" } }\n'
            ),
        },
    ),
    Operation(
        "set what identifies people",
        (AuditAction.ENDPOINT_UPDATE,),
        undecided,
        {
            Interface.API: api("PUT", f"{ONE}/identity", {"identifyBy": "metadata.user_id"}),
            Interface.DASHBOARD: form(f"{PAGE}/people", identify="metadata", key="user_id"),
            Interface.COMMAND: command("identify", NAME, "--by", "metadata.user_id", "--yes"),
            Interface.FILE: file(
                f'{SOURCE}[[endpoints]]\nname = "{NAME}"\nconnector = "customerio"\n'
                'settings = { base_url = "<emulator>", identify_by = "metadata.user_id" }\n'
                'credentials = { site_id = { env = "SITE_ID" }, api_key = { env = "API_KEY" } }\n'
            ),
        },
    ),
    Operation(
        "set what identifies people to nothing that there is",
        (),
        undecided,
        {
            Interface.API: api("PUT", f"{ONE}/identity", {"identifyBy": "phone"}),
            Interface.DASHBOARD: form(f"{PAGE}/people", identify="phone"),
            Interface.COMMAND: command("identify", NAME, "--by", "phone", "--yes"),
        },
        error="email",
    ),
    Operation(
        "create an endpoint at an address that is not allowed",
        (),
        nothing,
        {
            Interface.API: api("POST", PATH, {"name": NAME, "url": ELSEWHERE}),
            Interface.DASHBOARD: form("/webhooks/new/http", name=NAME, field_url=ELSEWHERE, field_secret="<secret>"),
            Interface.FILE: file(entry(url=ELSEWHERE)),
        },
        error="Requests to 10.1.2.3 are blocked: its address is not public.",
    ),
    Operation(
        "create an endpoint with a name that is too long",
        (),
        nothing,
        {
            Interface.API: api("POST", PATH, {"name": LONG, "url": "<emulator>/hooks"}),
            Interface.DASHBOARD: form(
                "/webhooks/new/http", name=LONG, field_url="<emulator>/hooks", field_secret="<secret>"
            ),
            Interface.FILE: file(entry().replace(NAME, LONG)),
        },
        error="256",
    ),
    Operation(
        "give an endpoint a name that is too long",
        (),
        enabled,
        {
            Interface.API: api("PATCH", ONE, {"name": LONG}),
            Interface.DASHBOARD: form(f"{PAGE}/settings", **FORM | {"name": LONG}),
        },
        error="256",
    ),
    Operation(
        "change an endpoint's rate and filter",
        (AuditAction.ENDPOINT_UPDATE,),
        enabled,
        {
            Interface.API: api("PATCH", ONE, {"throttleRate": 7, "eventTypes": ["payment.succeeded"]}),
            Interface.DASHBOARD: form(
                f"{PAGE}/settings", **FORM | {"types": "some", "event_type": "payment.succeeded", "rate": "7"}
            ),
            Interface.FILE: file(entry('max_messages_per_s = 7\nevent_types = ["payment.succeeded"]')),
        },
    ),
    Operation(
        "limit an endpoint to a mode, businesses and brands",
        (AuditAction.ENDPOINT_UPDATE,),
        enabled,
        {
            Interface.API: api(
                "PATCH", ONE, {"mode": "live", "businessIds": ["bus_1", "bus_2"], "brandIds": ["brnd_1"]}
            ),
            Interface.DASHBOARD: form(
                f"{PAGE}/settings",
                **FORM | {"mode": "live", "business_ids": "bus_1, bus_2", "brand_ids": "brnd_1\r\nbrnd_1"},
            ),
            Interface.FILE: file(entry('mode = "live"\nbusiness_ids = ["bus_1", "bus_2"]\nbrand_ids = ["brnd_1"]')),
        },
    ),
    Operation(
        "limit an endpoint to a brand without an ID",
        (),
        enabled,
        {
            Interface.API: api("PATCH", ONE, {"brandIds": ["our brand"]}),
            Interface.FILE: file(entry('brand_ids = ["our brand"]')),
        },
        error="brand",
    ),
    Operation(
        "give an endpoint a retry schedule",
        (AuditAction.ENDPOINT_UPDATE,),
        enabled,
        {
            Interface.API: api("PATCH", ONE, {"retrySchedule": [{"secs": 30}, {"secs": 7200}]}),
            Interface.DASHBOARD: form(f"{PAGE}/settings", **FORM | {"retries": "30s, 2h"}),
            Interface.FILE: file(entry('retry_schedule = ["30s", "2h"]')),
        },
    ),
    Operation(
        "give an endpoint no retries",
        (AuditAction.ENDPOINT_UPDATE,),
        enabled,
        {
            Interface.API: api("PATCH", ONE, {"retrySchedule": []}),
            Interface.DASHBOARD: form(f"{PAGE}/settings", **FORM | {"retries": "none"}),
            Interface.FILE: file(entry("retry_schedule = []")),
        },
    ),
    Operation(
        "remove an endpoint's retry schedule",
        (AuditAction.ENDPOINT_UPDATE,),
        with_retries,
        {
            Interface.API: api("PATCH", ONE, {"retrySchedule": None}),
            Interface.DASHBOARD: form(f"{PAGE}/settings", **FORM | {"retries": ""}),
            Interface.FILE: file(entry()),
        },
    ),
    Operation(
        "give an endpoint a retry that is too late",
        (),
        enabled,
        {
            Interface.API: api("PATCH", ONE, {"retrySchedule": [{"secs": 90_000, "nanos": 0}]}),
            Interface.DASHBOARD: form(f"{PAGE}/settings", **FORM | {"retries": "25h"}),
            Interface.FILE: file(entry('retry_schedule = ["25h"]')),
        },
        error="the delay 25h is out of range",
    ),
    Operation(
        "change an endpoint's URL",
        (AuditAction.ENDPOINT_UPDATE,),
        enabled,
        {
            Interface.API: api("PATCH", ONE, {"url": "<emulator>/other"}),
            Interface.DASHBOARD: form(f"{PAGE}/settings", **FORM | {"field_url": "<emulator>/other"}),
            Interface.FILE: file(entry(url="<emulator>/other")),
        },
    ),
    Operation(
        "change an endpoint with a rate that an earlier version accepted",
        (AuditAction.ENDPOINT_UPDATE,),
        fast,
        {
            Interface.API: api("PATCH", ONE, {"url": "<emulator>/other"}),
            Interface.DASHBOARD: form(
                f"{PAGE}/settings", **FORM | {"field_url": "<emulator>/other", "rate": "100000"}
            ),
        },
    ),
    Operation(
        "change nothing of an endpoint",
        (),
        enabled,
        {
            Interface.API: api("PATCH", ONE, {"name": NAME}),
            Interface.DASHBOARD: form(f"{PAGE}/settings", **FORM),
            Interface.FILE: file(entry()),
        },
    ),
    Operation(
        "change nothing of an endpoint with headers",
        (),
        with_headers,
        {
            Interface.API: api(
                "PUT", f"{ONE}/headers", {"headers": {"x-shop": "1", "authorization": "Bearer stored"}}
            ),
            Interface.DASHBOARD: form(
                f"{PAGE}/settings", **FORM, header_name=("x-shop", "authorization"), header_value=("1", "")
            ),
            Interface.FILE: file(entry()),
        },
    ),
    Operation(
        "set more headers than fit",
        (),
        enabled,
        {
            Interface.API: api("PATCH", f"{ONE}/headers", {"headers": {f"x-{number}": "1" for number in range(51)}}),
            Interface.DASHBOARD: form(
                f"{PAGE}/settings",
                **FORM,
                header_name=tuple(f"x-{number}" for number in range(51)),
                header_value=("1",) * 51,
            ),
        },
        error="more than 50",
    ),
    Operation(
        "set more messages per second than fit",
        (),
        enabled,
        {
            Interface.API: api("PATCH", ONE, {"throttleRate": 65_536}),
            Interface.DASHBOARD: form(f"{PAGE}/settings", **FORM | {"rate": "65536"}),
            Interface.FILE: file(entry("max_messages_per_s = 65536")),
        },
        error="65535",
    ),
    Operation(
        "give an endpoint another one's name",
        (),
        two,
        {
            Interface.API: api("PATCH", ONE, {"name": "other"}),
            Interface.DASHBOARD: form(f"{PAGE}/settings", **FORM | {"name": "other"}),
        },
        error="An endpoint named other already exists. Choose another name.",
    ),
    Operation(
        "send stored headers to another host",
        (),
        with_header,
        {
            Interface.API: api("PATCH", ONE, {"url": "https://elsewhere.example/"}),
            Interface.DASHBOARD: form(
                f"{PAGE}/settings",
                **FORM
                | {"field_url": "https://elsewhere.example/", "header_name": "authorization", "header_value": ""},
            ),
            Interface.FILE: file(entry(url="https://elsewhere.example/")),
        },
        error="are not sent to https://elsewhere.example:443.",
    ),
    Operation(
        "pause an endpoint",
        (AuditAction.ENDPOINT_PAUSE,),
        enabled,
        {Interface.API: api("POST", f"{ONE}/pause", {}), Interface.DASHBOARD: form(f"{PAGE}/pause")},
    ),
    Operation(
        "resume an endpoint",
        (AuditAction.ENDPOINT_RESUME,),
        paused,
        {
            Interface.API: api("POST", f"{ONE}/resume"),
            Interface.DASHBOARD: form(f"{PAGE}/resume"),
            Interface.COMMAND: command("resume", NAME),
        },
    ),
    Operation(
        "resume the endpoint that a restore has put on hold",
        (AuditAction.ENDPOINT_RESUME,),
        restored,
        {
            Interface.API: api("POST", f"{ONE}/resume"),
            Interface.DASHBOARD: form(f"{PAGE}/resume"),
            Interface.COMMAND: command("resume", "--all"),
        },
    ),
    Operation(
        "resume an endpoint that is not paused",
        (),
        enabled,
        {
            Interface.API: api("POST", f"{ONE}/resume"),
            Interface.DASHBOARD: form(f"{PAGE}/resume"),
            Interface.COMMAND: command("resume", NAME),
        },
    ),
    Operation(
        "resume a disabled endpoint",
        (),
        disabled,
        {
            Interface.API: api("POST", f"{ONE}/resume"),
            Interface.DASHBOARD: form(f"{PAGE}/resume"),
            Interface.COMMAND: command("resume", NAME),
        },
        error=f"Endpoint {NAME} is disabled, not paused.",
    ),
    Operation(
        "enable an endpoint",
        (AuditAction.ENDPOINT_ENABLE,),
        disabled,
        {
            Interface.API: api("PATCH", ONE, {"disabled": False}),
            Interface.DASHBOARD: form(f"{PAGE}/enable"),
            Interface.COMMAND: command("enable", NAME),
            Interface.FILE: file(entry()),
        },
    ),
    Operation(
        "disable an endpoint",
        (AuditAction.ENDPOINT_DISABLE,),
        enabled,
        {
            Interface.API: api("PATCH", ONE, {"disabled": True}),
            Interface.DASHBOARD: form(f"{PAGE}/disable"),
            Interface.FILE: file(entry("disabled = true")),
        },
    ),
    Operation(
        "delete an endpoint",
        (AuditAction.ENDPOINT_DELETE,),
        enabled,
        {
            Interface.API: api("DELETE", ONE),
            Interface.DASHBOARD: form(f"{PAGE}/delete"),
            Interface.FILE: file(SOURCE, "--prune"),
        },
    ),
    Operation(
        "rotate an endpoint's secret",
        (AuditAction.ENDPOINT_ROTATE_SECRET,),
        enabled,
        {
            Interface.API: api("POST", f"{ONE}/secret/rotate", {"key": "<new>"}),
            Interface.DASHBOARD: form(f"{PAGE}/rotate-secret", secret="<new>"),
        },
    ),
    Operation(
        "change an endpoint's signature scheme",
        (AuditAction.ENDPOINT_ROTATE_SECRET,),
        enabled,
        {
            Interface.API: api("POST", f"{ONE}/secret/rotate", {"signature": "ed25519"}),
            Interface.DASHBOARD: form(f"{PAGE}/rotate-secret", signature="ed25519"),
        },
    ),
    Operation(
        "rotate an endpoint's secret to a malformed one",
        (),
        enabled,
        {
            Interface.API: api("POST", f"{ONE}/secret/rotate", {"key": "whsk_" + "A" * 40}),
            Interface.DASHBOARD: form(f"{PAGE}/rotate-secret", secret="whsk_" + "A" * 40),
        },
        error="Invalid ed25519 key",
    ),
    Operation(
        "set an endpoint's headers",
        (AuditAction.ENDPOINT_SET_HEADERS,),
        enabled,
        {Interface.API: api("PUT", f"{ONE}/headers", {"headers": {"x-shop": "1"}})},
    ),
    Operation(
        "check a draft's credentials",
        (AuditAction.ENDPOINT_CHECK,),
        nothing,
        {Interface.DASHBOARD: check_draft},
    ),
    Operation(
        "send an event type's example to an endpoint",
        (AuditAction.ENDPOINT_SEND_EXAMPLE,),
        enabled,
        {Interface.API: api("POST", f"{ONE}/send-example", {"eventType": "payment.succeeded"})},
    ),
    Operation(
        "check an endpoint's credentials",
        (AuditAction.ENDPOINT_CHECK,),
        lambda world: [
            world.endpoint(
                kind="customerio",
                settings={"base_url": world.nicobar.emulator.url},
                credentials={"site_id": "demo-site", "api_key": "demo-key"},
            )
        ],
        {Interface.API: api("POST", f"{ONE}/check")},
    ),
)
