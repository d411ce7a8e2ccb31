"""Customer.io's Track API."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterator, Mapping, Sequence
from urllib.parse import urlsplit

import msgspec

from nicobar.addresses import origin_of
from nicobar.connectors import (
    BatchBounds,
    Checkup,
    Finding,
    IdentityQuestion,
    NoResponse,
    Origin,
    Outcome,
    Prepared,
    ReadyCall,
    Request,
    Response,
    SettingsFix,
    Transport,
)
from nicobar.connectors.answers import ANSWERED, status_code
from nicobar.connectors.customerio import app_api, corrections, earlier_variables, form, track_api
from nicobar.connectors.customerio.address_warnings import address_warnings
from nicobar.connectors.customerio.amounts import EventAmounts
from nicobar.connectors.customerio.answers import outcomes, read_object, why_foreign
from nicobar.connectors.customerio.corrections import Corrections, Corrector
from nicobar.connectors.customerio.error_checks import MAX_SHOWN_CHARS, check
from nicobar.connectors.customerio.identification import Identification
from nicobar.connectors.customerio.identifies import Identifies, identified
from nicobar.connectors.customerio.merge_calls import MergeCalls
from nicobar.connectors.customerio.parts import (
    ObjectPart,
    SinglePart,
    check_object,
    check_single,
    corrected,
    merges_too_soon,
    object_parts,
)
from nicobar.connectors.customerio.profiles import ItemCall, Profiles, change_of, person_key
from nicobar.connectors.customerio.recipes import RECIPES
from nicobar.connectors.customerio.renaming import (
    MAX_PRODUCT_NAME_BYTES,
    MAX_PRODUCT_NAMES,
    Names,
    read_map,
    read_names,
)
from nicobar.connectors.customerio.track_api import BATCH, ENTITY, REGION
from nicobar.connectors.customerio.url_checks import is_cut, wrong_url
from nicobar.connectors.customerio.warning_checks import Context
from nicobar.connectors.fields import address_error, is_plain_url, read_fields
from nicobar.connectors.inspection import Inspection
from nicobar.connectors.payload import encoded
from nicobar.connectors.people_calls import PeopleCalls
from nicobar.connectors.people_merging import PeopleMerging
from nicobar.errors import UserError
from nicobar.model import Call, Json, Level, Setting, Verdict
from nicobar.people import IdentityRule, read_rule
from nicobar.reasons import Reason, reason

HOSTS = {"us": "https://track.customer.io", "eu": "https://track-eu.customer.io"}
_WRONG_REGION = "wrong_region"
_REDIRECTED = f"{ANSWERED}3"
_ORIGINS = frozenset(map(origin_of, HOSTS.values()))


class _Item(msgspec.Struct):
    """The part of a call that `describe` reads."""

    action: str = ""
    name: str = ""


class CustomerIo:
    kind = "customerio"
    name = "Customer.io"
    monogram = "C.io"
    public_kind = "CustomerIO"
    summary = "People, attributes and events for campaigns and journeys."
    has_contract = True
    setup = form.SETUP
    setup_note = form.SETUP_NOTE
    test_notes = form.TEST_NOTES
    example = form.EXAMPLE
    fields = form.FIELDS
    identity_question: IdentityQuestion | None = form.IDENTITY_QUESTION
    recipes = RECIPES

    def carried_settings(
        self, settings: Mapping[str, Setting], variables: Mapping[str, str], code: str | None
    ) -> tuple[dict[str, Setting], dict[str, str]] | None:
        return earlier_variables.carried_settings(settings, variables, code)

    def settings_fix(self, settings: Mapping[str, Setting], why: Reason) -> SettingsFix | None:
        """Customer.io redirects to the other region."""
        if settings.get("base_url") or not (why.code == _WRONG_REGION or why.code.startswith(_REDIRECTED)):
            return None
        return SettingsFix(name="region", value="us" if settings.get("region") == "eu" else "eu")

    def describe(self, call: ReadyCall) -> str:
        try:
            item = msgspec.json.decode(call.body, type=_Item)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return call.method
        return item.name or item.action or call.method

    def url(self, settings: Mapping[str, Setting]) -> str:
        return str(settings.get("base_url") or "").rstrip("/") or HOSTS.get(str(settings.get("region")), HOSTS["us"])

    def credentials_host(self, settings: Mapping[str, Setting]) -> str:
        """The hosts of both regions count as one, so that a wrong region can be corrected without entering the
        credentials again.
        """
        origin = origin_of(self.url(settings))
        return "Customer.io" if origin in _ORIGINS else origin

    def open(
        self,
        settings: Mapping[str, Setting],
        credentials: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
    ) -> CustomerIoDestination:
        if headers:
            raise UserError(
                "headers_unsupported", "Customer.io endpoints do not support custom headers.", "Remove the headers."
            )
        values = read_fields(self.fields, settings, credentials)
        site_id = str(values["site_id"])
        if ":" in site_id:
            # RFC 7617, section 2: the user name of Basic authentication cannot hold a colon.
            raise UserError(
                "field_invalid",
                "Invalid Site ID: it contains a colon.",
                "Copy only the Site ID, without the API key.",
            )
        region = str(values["region"])
        base_url = str(values["base_url"]).rstrip("/")
        app_api_key = str(values["app_api_key"])
        return CustomerIoDestination(
            identity_rule=_identity_rule(str(values["identify_by"]), str(values["identify_fallback"])),
            base=base_url or HOSTS[region],
            # Another server, such as the emulator, offers both APIs.
            inspection=app_api.AppApi(base_url or app_api.HOSTS[region], app_api_key) if app_api_key else None,
            region=region,
            site_id=site_id,
            authorization=base64.b64encode(f"{site_id}:{values['api_key']}".encode()).decode(),
            corrections=Corrections(
                action=bool(values["correct_action"]),
                event_id=bool(values["correct_event_id"]),
                timestamp=bool(values["correct_timestamp"]),
                profile=bool(values["keep_profile"]),
                identifier=bool(values["correct_identifier"]),
                trust_metadata=bool(values["trust_metadata"]),
                event_ids_by=str(values["event_ids_by"]),
            ),
            names=read_names(values),
            product_names=read_map("product_names", values, MAX_PRODUCT_NAMES, MAX_PRODUCT_NAME_BYTES),
        )


class CustomerIoDestination:
    """One workspace."""

    # The documented fair use is 1000 per second for a workspace, which is shared with other clients.
    max_requests_per_s: int | None = 100

    def __init__(
        self,
        *,
        base: str,
        region: str,
        site_id: str,
        authorization: str,
        corrections: Corrections,
        names: Names,
        product_names: Mapping[str, str],
        identity_rule: IdentityRule | None = None,
        inspection: Inspection | None = None,
    ) -> None:
        self.product_names = product_names
        self._names = names
        self.identity_rule = identity_rule
        self.inspection = inspection
        self.people_calls: PeopleCalls | None = Identifies()
        self.people_merging: PeopleMerging | None = MergeCalls(base + ENTITY)
        # A request may have 500 KB; the number of items is not documented. Both values leave room. The order in which
        # the calls of a batch take effect is not documented either: timestamps decide about events.
        self.batch_bounds: BatchBounds | None = BatchBounds(
            max_items=100, max_bytes=450_000, keeps_order=corrections.timestamp
        )
        self._base = base
        self._region = region
        self._authorization = authorization
        self._corrections = corrections
        self._profiles = Profiles()
        self._now_ms = 0
        self._site = f"site:{site_id}"
        # Another server, such as the emulator, knows nothing of Customer.io's workspaces.
        self._elsewhere = "" if origin_of(base) in _ORIGINS else f"{origin_of(base)} "
        self._environment: str | None = None

    @property
    def url(self) -> str:
        return self._base + ENTITY

    @property
    def workspaces(self) -> tuple[str, ...]:
        """The workspace itself, once Customer.io has named it, and the Site ID, of which it may have several."""
        names = [self._environment, self._site]
        return tuple(f"customerio {self._elsewhere}{name}" for name in names if name)

    def prepare(self, calls: Sequence[Call], origin: Origin) -> Prepared:
        verdicts: list[Verdict] = []
        corrector = Corrector(self._corrections, origin, verdicts)
        requested = [part for index, call in enumerate(calls) for part in self._parts(index, call, verdicts)]
        identification = Identification(self.identity_rule, self._corrections, origin, verdicts)
        parts = [corrected(corrector, identification, self._names, part, verdicts) for part in requested]
        items = [part.item for part in parts if isinstance(part, ObjectPart)]
        profile = self._profile(items, origin, identification)
        people = [*items, profile.item] if profile else items
        context = Context(
            amounts=EventAmounts(origin.body),
            now_ms=origin.now_ms,
            event_id=origin.event_id,
            has_totals=origin.reads_ledger,
        )
        # Whether or not the profile is sent again: the person may still be without the address.
        verdicts += address_warnings([part for part in (profile, *parts) if part is not None], origin, identification)
        for part in parts:
            if isinstance(part, ObjectPart):
                verdicts += check_object(part, people, context, identification)
            else:
                verdicts += check_single(part, context)
        verdicts += merges_too_soon(parts)
        if any(verdict.level is Level.ERROR for verdict in verdicts):
            return Prepared(calls=(), verdicts=tuple(verdicts))
        if identification.no_identity is not None:
            return Prepared(calls=(), verdicts=tuple(verdicts), no_identity=identification.no_identity)
        ready = [self._ready(part, corrector.once_ids) for part in parts]
        if profile is not None:
            first = msgspec.structs.replace(self._ready(profile, ()), added=True)
            self._now_ms = origin.now_ms
            if not self._profiles.has(person_key(profile.item["identifiers"]), first, origin.now_ms):
                verdicts += corrections.profile_verdicts(profile.item, identification)
                ready.insert(0, first)
        return Prepared(calls=tuple(ready), verdicts=tuple(verdicts))

    def _profile(
        self, items: Sequence[dict[str, Json]], origin: Origin, identification: Identification
    ) -> ObjectPart | None:
        """The customer's profile to send before the calls, if they need one and Customer.io would accept it."""
        made = corrections.profile(items, origin, identification) if self._corrections.profile else None
        if made is None:
            return None
        body = encoded(made)
        return None if any(check("", made, body)) else ObjectPart(path="", item=made, body=body)

    def pack(self, calls: Sequence[ReadyCall]) -> Request:
        if len(calls) == 1:
            (call,) = calls
            method, url, body, headers = call.method, call.url, call.body, call.headers
        else:
            method, url, headers = "POST", self._base + BATCH, {}
            body = b'{"batch":[' + b",".join(call.body for call in calls) + b"]}"
        return Request(
            method=method,
            url=url,
            headers={
                **headers,
                "content-type": "application/json",
                "authorization": f"Basic {self._authorization}",
            },
            body=body,
        )

    def read(self, calls: Sequence[ReadyCall], answer: Response | NoResponse) -> list[Outcome]:
        read = outcomes(calls, answer, self._region)
        for call, outcome in zip(calls, read, strict=True):
            self._profiles.saw(call, outcome, self._now_ms)
        return read

    async def check_credentials(self, transport: Transport) -> Checkup:
        request = Request(
            method="GET",
            url=self._base + REGION,
            headers={"authorization": f"Basic {self._authorization}"},
            body=b"",
        )
        answer = await transport.send(request)
        if isinstance(answer, NoResponse) and answer.refused is not None:
            return _found(Finding.REFUSED_ADDRESS, address_error(answer.refused).reason)
        if isinstance(answer, NoResponse):
            unanswered = reason(
                "no_answer",
                "No response from %(base)s: %(reason)s. Check this machine's network connection.",
                base=self._base,
                reason=answer.reason,
            )
            return _found(Finding.NO_ANSWER, unanswered)
        return self._checkup(answer)

    def _checkup(self, answer: Response) -> Checkup:
        """The meaning of the response to the region call."""
        if answer.status in range(300, 400):
            elsewhere = reason(
                _WRONG_REGION,
                "The workspace is not in region %(region)s. Choose the other region.",
                region=self._region,
            )
            return _found(Finding.WRONG_REGION, elsewhere)
        if answer.status != 200:  # noqa: PLR2004 - the one documented success
            rejected = reason(
                status_code(answer),
                "%(base)s responded with status %(status)s. Check the Site ID, the API key (Track API, "
                "not App API) and the region.",
                base=self._base,
                status=answer.status,
            )
            return _found(Finding.WRONG_CREDENTIALS if answer.status in {401, 403} else Finding.NO_ANSWER, rejected)
        found = read_object(answer) or {}
        region, environment = found.get("region"), found.get("environment_id")
        if isinstance(environment, int | str):
            self._environment = f"environment:{environment}"[:MAX_SHOWN_CHARS]
        if not isinstance(region, str) or region not in HOSTS:
            return _found(Finding.NO_ANSWER, why_foreign(answer))
        if region != self._region:
            elsewhere = reason(
                _WRONG_REGION,
                "The workspace is in region %(region)s. Set the region to %(region)s.",
                region=region,
            )
            return _found(Finding.WRONG_REGION, elsewhere)
        good = reason(
            "good", "%(base)s accepted the credentials. The region is %(region)s.", base=self._base, region=region
        )
        return _found(Finding.GOOD, good)

    def _path(self, url: str) -> str | None:
        """The path below the base URL or either of Customer.io's hosts; None for other URLs."""
        for base in (self._base, *HOSTS.values()):
            if url.startswith(base + "/") and is_plain_url(url):
                parts = urlsplit(url[len(base) :])
                if ".." in parts.path.split("/"):
                    return None
                return parts.path + (f"?{parts.query}" if parts.query else "")
        return None

    def _parts(self, index: int, call: Call, verdicts: list[Verdict]) -> Iterator[ObjectPart | SinglePart]:
        """The parts of one call, in order: v2 objects, or one v1 request."""
        path = self._path(call.url)
        if path in {ENTITY, BATCH} and call.method == "POST":
            yield from object_parts(index, path, call.payload, verdicts)
            return
        documented_call = None if path is None else track_api.v1_call(call.method, path)
        if path is None or documented_call is None or is_cut(documented_call, call.url):
            verdicts.append(wrong_url(index, call, path, (self._base, *HOSTS.values())))
        else:
            # Calls without a body are sent without one, whatever the payload.
            payload = None if documented_call.body == "none" else call.payload
            yield SinglePart(path=f"[{index}].payload", url_path=path, call=documented_call, payload=payload)

    def _ready(self, part: ObjectPart | SinglePart, once_ids: Collection[str]) -> ReadyCall:
        if part.body is None:  # the check has found it
            raise AssertionError(part.path)
        event_id = part.event_id
        once = event_id in once_ids
        if isinstance(part, ObjectPart):
            return ItemCall(
                method="POST",
                url=self.url,
                headers={},
                body=part.body,
                batchable=True,
                is_event=part.item.get("action") in track_api.EVENT_TYPES,
                change=change_of(part.item),
                event_id=event_id,
                once=once,
                identifies=identified(part.item),
            )
        return ReadyCall(
            method=part.call.method,
            url=self._base + part.url_path,
            headers={},
            body=b"" if part.payload is None else part.body,
            batchable=False,
            is_event=part.call.body in track_api.V1_EVENT_BODIES,
            event_id=event_id,
            once=once,
        )


def _identity_rule(identify_by: str, fallback: str) -> IdentityRule | None:
    if not identify_by:
        return None
    rule = read_rule(identify_by, fallback)
    if rule is None:
        raise UserError(
            "field_invalid",
            "Invalid value for identify_by: %(given)s.",
            "Use metadata.KEY, email or customer_id.",
            given=repr(identify_by[:MAX_SHOWN_CHARS]),
        )
    return rule


def _found(finding: Finding, why: Reason) -> Checkup:
    return Checkup(ok=finding is Finding.GOOD, reason=why, finding=finding)
