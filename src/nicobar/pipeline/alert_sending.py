"""Sends one alert to one target, once."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import Sequence
from http import HTTPStatus

from nicobar.clock import Clock
from nicobar.connectors import NoResponse, Request, Transport
from nicobar.crypto import Vault
from nicobar.errors import NicobarError
from nicobar.model import AlertTarget, TargetKind
from nicobar.pipeline.alert_mail import Mail, send_mail
from nicobar.pipeline.alert_outbox import Send
from nicobar.pipeline.alert_targets import alert_requests, open_address
from nicobar.pipeline.alert_types import Alert
from nicobar.reasons import Reason, reason

# A mail server that does not respond must not use up the threads that look up host names for deliveries.
MAX_PARALLEL_MAILS = 2


class Sending:
    """The ways to targets. `transport` sends to those that are URLs; None if this process sends nothing."""

    def __init__(self, vault: Vault, clock: Clock, transport: Transport | None, mail: Mail | None) -> None:
        self._vault = vault
        self._clock = clock
        self._transport = transport
        self._mail = mail
        self._mail_places = asyncio.Semaphore(MAX_PARALLEL_MAILS)

    def to_target(self, target: AlertTarget, alert_id: str) -> Send:
        async def send(alert: Alert) -> Reason | None:
            try:
                to = open_address(self._vault, target)
                if target.kind is TargetKind.EMAIL:
                    return await self._mailed((to.address,), alert)
                requests = alert_requests(target.kind, to, alert, alert_id, self._clock.now_ms())
            except NicobarError as error:
                return error.reason
            return await self._posted(requests)

        return send

    def by_mail(self, recipients: Sequence[str]) -> Send:
        async def send(alert: Alert) -> Reason | None:
            return await self._mailed(recipients, alert)

        return send

    async def _posted(self, requests: Sequence[Request]) -> Reason | None:
        """Why one of the requests was not accepted; those after it are not sent."""
        if self._transport is None:
            return reason("not_running", "This process sends no alerts.", "Start it with `nicobar serve`.")
        for request in requests:
            answer = await self._transport.send(request)
            if isinstance(answer, NoResponse):
                return answer.reason
            if not HTTPStatus(200) <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
                return reason("status", "The alert target responded with status %(status)s.", status=answer.status)
        return None

    async def _mailed(self, recipients: Sequence[str], alert: Alert) -> Reason | None:
        """Why the mail server did not accept the email."""
        if self._mail is None:
            return reason(
                "mail_server_missing",
                "No mail server is configured.",
                "Set alert_smtp_url and alert_mail_from, and restart Nicobar.",
            )
        async with self._mail_places:
            try:
                await asyncio.to_thread(send_mail, self._mail, recipients, alert)
            except (OSError, smtplib.SMTPException, ValueError) as error:
                # The server's text may quote the credentials; the kind of error does not.
                return reason(
                    "mail_not_sent",
                    "The mail server did not accept the email (%(error)s).",
                    "Check the host, port, username and password in alert_smtp_url.",
                    error=type(error).__name__,
                )
        return None
