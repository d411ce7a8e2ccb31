"""Alerts by email."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from nicobar.model import Record
from nicobar.pipeline.alert_types import Alert

MAIL_TIMEOUT_S = 15
_SMTP, _SMTPS = "smtp", "smtps"


class Mail(Record):
    """How emails are sent. `url` is smtp://[user:password@]host[:port], which uses STARTTLS if offered, or smtps://…
    `recipients` are those of the settings; targets have their own.
    """

    url: str
    sender: str
    recipients: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Mail(***, {self.sender}, {self.recipients})"


def send_mail(mail: Mail, recipients: Sequence[str], alert: Alert) -> None:
    """Sends one email. Raises OSError, SMTPException or ValueError."""
    letter = EmailMessage()
    letter["Subject"] = alert.title
    letter["From"] = mail.sender
    letter["To"] = ", ".join(recipients)
    letter.set_content(_text(alert))
    url = urlsplit(mail.url)
    if url.scheme not in {_SMTP, _SMTPS} or not url.hostname:
        raise ValueError(url.scheme)
    context = ssl.create_default_context()
    client: smtplib.SMTP
    if url.scheme == _SMTPS:
        client = smtplib.SMTP_SSL(url.hostname, url.port or 465, timeout=MAIL_TIMEOUT_S, context=context)
    else:
        client = smtplib.SMTP(url.hostname, url.port or 25, timeout=MAIL_TIMEOUT_S)
    with client:
        client.ehlo()
        if url.scheme == _SMTP and client.has_extn("starttls"):
            client.starttls(context=context)
            client.ehlo()
        if url.username:
            client.login(unquote(url.username), unquote(url.password or ""))
        client.send_message(letter)


def _text(alert: Alert) -> str:
    facts = {
        "Event": alert.type.value,
        "Code": alert.reason.code,
        "Endpoint": alert.endpoint.id if alert.endpoint else None,
        "Source": alert.source.id if alert.source else None,
        "Host": alert.host,
        "Message": alert.message_id,
    }
    lines = [f"{label}: {value}" for label, value in facts.items() if value]
    return "\n".join([alert.text, "", *lines, "", "Each cause is reported at most once per hour.", ""])
