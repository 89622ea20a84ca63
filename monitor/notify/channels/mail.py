"""Mail, by SMTP: over TLS or not at all, except to this machine itself.

``mailto://user:password@host:587?from=a@example.com&to=b@example.com`` begins in the clear and
goes on after STARTTLS; where that is not offered, or fails, nothing is sent and no password said.
``mailtos://`` speaks TLS from the first byte, as does port 465.  The outbound guard connects, so
that the address which was connected to is judged.  Where a mail goes is what the address says, and
never anything of an alert.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from email.utils import formatdate
from typing import ClassVar
from urllib.parse import parse_qsl, unquote

import aiosmtplib

from monitor.core.quantity import shown
from monitor.core.secret import Secret
from monitor.errors import MonitorError
from monitor.notify.channel import DELIVERED, Notification, Outcome, Result
from monitor.notify.channels.replies import failed
from monitor.notify.message import LATEST_INSTANT, compose
from monitor.outbound.addresses import Kind, kind_of, reached
from monitor.outbound.connecting import Connector
from monitor.outbound.faults import UrlNotAllowed
from monitor.outbound.targets import CLOSED_PORTS, MAIL_PORTS, Place, parse_host

SUBMISSION_PORT = 587
TLS_PORT = 465

LOWEST_OPEN_PORT = 1_024
"""Mail may be handed in at its own ports, and above this one where no other protocol lives."""

MOST_RECIPIENTS = 20
ADDRESS_CHARACTERS = 254

DEADLINE_SECONDS = 20.0
"""How long all of it may take: servers of mail dawdle on purpose before they greet a stranger."""

URL_CHARACTERS = 2_048

_URL = re.compile(r"(mailtos?)://(?:([^/?#@]*)@)?([^/?#@]+)/?(?:\?([^#]*))?\Z")
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]+)(?::([1-9][0-9]{0,4}))?\Z")
_ADDRESS = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,185}[A-Za-z0-9])?\Z"
)
_ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}(?= |\Z)")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,62}[A-Za-z0-9])?\Z")
_EXPECTED = 'expected "mailto://user:password@host:587?from=ADDRESS&to=ADDRESS"'


@dataclass(frozen=True, slots=True)
class MailAddress:
    """What an address of this scheme says: where mail is handed in, by whom, from whom, to whom."""

    place: Place
    sender: str
    recipients: tuple[str, ...]
    user: str = ""
    password: Secret = field(default_factory=lambda: Secret(""))
    is_tls_at_once: bool = False


def parse(url: str) -> MailAddress:
    """The parts of a ``mailto://`` URL.  Raises `UrlNotAllowed`, which holds no secret of it."""
    found = _URL.match(url) if len(url) <= URL_CHARACTERS and url.isprintable() else None
    authority = _AUTHORITY.match(found[3]) if found else None
    if found is None or authority is None:
        raise UrlNotAllowed(f"{_EXPECTED}; / ? # @ : in a user or password are %-escaped")
    user, _, password = (found[2] or "").partition(":")
    user, password = unquote(user), unquote(password)
    is_tls = found[1] == "mailtos"
    port = int(authority[2]) if authority[2] else (TLS_PORT if is_tls else SUBMISSION_PORT)
    place = Place(parse_host(authority[1]), _port(port))
    given = parse_qsl(found[4] or "", keep_blank_values=True, max_num_fields=32)
    for name, _ in given:
        if name not in ("from", "to"):
            raise UrlNotAllowed(f"there is no {shown(name)} after the ?: from and to there are")
    senders = [value for name, value in given if name == "from"] or [user]
    recipients = [
        part.strip() for name, value in given if name == "to" for part in value.split(",")
    ]
    if len(senders) > 1 or not _is_address(senders[0]):
        raise UrlNotAllowed(f"whom mail is from is missing, or no address: {_EXPECTED}")
    if not recipients or not all(map(_is_address, recipients)):
        raise UrlNotAllowed(f"whom mail is to is missing, or no address: {_EXPECTED}")
    if len(recipients) > MOST_RECIPIENTS:
        raise UrlNotAllowed(f"expected at most {MOST_RECIPIENTS} recipients, got {len(recipients)}")
    if not (user.isprintable() and password.isprintable()):
        raise UrlNotAllowed("a user or password has printable characters only")
    return MailAddress(
        place,
        senders[0],
        tuple(dict.fromkeys(recipients)),
        user,
        Secret(password),
        is_tls or port == TLS_PORT,
    )


def _port(port: int) -> int:
    is_open = LOWEST_OPEN_PORT <= port <= 65_535 and port not in CLOSED_PORTS
    if port not in MAIL_PORTS and not is_open:
        raise UrlNotAllowed(f"port {port} is not for mail")
    return port


def _is_address(text: str) -> bool:
    return len(text) <= ADDRESS_CHARACTERS and _ADDRESS.match(text) is not None and ".." not in text


class Mail:
    """Carries notifications as mail."""

    kind = "mail"
    repeat_seconds: ClassVar[float | None] = None

    def __init__(
        self,
        name: str,
        address: MailAddress,
        connector: Connector,
        tls: ssl.SSLContext,
        *,
        public_url: str = "",
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        self.name = name
        scheme = "mailtos" if address.is_tls_at_once else "mailto"
        self.target = f"{scheme}://{address.place.written}"
        self._place = address.place.written
        self._address = address
        self._connector = connector
        self._tls = tls
        self._public_url = public_url
        self._deadline_seconds = deadline_seconds

    async def deliver(self, notification: Notification) -> Outcome:
        """Hand it in once."""
        mail = written(notification, self._address, self._public_url)
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await self._hand_in(mail)
        except TimeoutError:
            return self._again("did not answer in time")
        except MonitorError as error:
            return failed(error)
        except aiosmtplib.SMTPResponseException as error:
            return self._refused(error)
        except aiosmtplib.SMTPRecipientsRefused as error:
            return self._nobody(error.recipients)
        except ssl.SSLCertVerificationError as error:
            return self._again(f"has a certificate that is refused: {error.verify_message}")
        except (aiosmtplib.SMTPException, OSError) as error:
            return self._broken(error)

    async def close(self) -> None:
        """Nothing is kept open."""

    async def _hand_in(self, mail: EmailMessage) -> Outcome:
        connected = await self._connector.connect(self._address.place)
        is_here = _is_loopback(connected)
        through = aiosmtplib.SMTP(
            hostname=self._address.place.host,
            sock=connected,
            local_hostname=_own_name(),
            timeout=None,  # there is one deadline for all of it; theirs may swallow a cancellation
            use_tls=self._address.is_tls_at_once,
            start_tls=False,
            tls_context=self._tls,
        )
        try:
            await through.connect()
        except BaseException:
            connected.close()
            raise
        transport, is_taken = through.transport, False
        try:
            if not self._address.is_tls_at_once and not is_here:
                await through.ehlo()
                if not through.supports_extension("starttls"):
                    return self._again(
                        "offers no STARTTLS, so nothing was sent: somebody may be in between"
                    )
                await through.starttls(tls_context=self._tls)
                transport = through.transport
            if self._address.user:
                await through.login(self._address.user, self._address.password.reveal())
            refused, _ = await through.send_message(
                mail, sender=self._address.sender, recipients=list(self._address.recipients)
            )
            is_taken = True
            if isinstance(through.transport, asyncio.WriteTransport):
                # It is taken: whatever is answered to this goodbye changes nothing.
                through.transport.write(b"QUIT\r\n")
        finally:
            through.close()
            if not is_taken and isinstance(transport, asyncio.WriteTransport):
                transport.abort()
        if refused:
            codes = ", ".join(sorted({str(reply.code) for reply in refused.values()}))
            reason = f"{self._place} refused {len(refused)} of the recipients ({codes})"
            return Outcome(Result.DELIVERED, reason)
        return DELIVERED

    def _refused(self, error: aiosmtplib.SMTPResponseException) -> Outcome:
        said = f"answered {_code(error.code, error.message)}"
        if isinstance(error, aiosmtplib.SMTPAuthenticationError):
            # Of a wrong password nothing is lost: an operator mends it, and it is told then.
            return self._again(f"{said}: it wants another user or password")
        if isinstance(error, (aiosmtplib.SMTPDataError, aiosmtplib.SMTPSenderRefused)):
            return self._by_code(error.code, f"{said}: it does not take the mail")
        return self._again(said)

    def _nobody(self, refused: Sequence[aiosmtplib.SMTPRecipientRefused]) -> Outcome:
        codes = ", ".join(sorted({_code(each.code, each.message) for each in refused}))
        worst = min((each.code for each in refused), default=450)
        return self._by_code(worst, f"answered {codes}: it takes no mail for any recipient")

    def _by_code(self, code: int, said: str) -> Outcome:
        if 500 <= code < 600:
            return Outcome(Result.GIVEN_UP, f"{self._place} {said}")
        return self._again(said)

    def _broken(self, error: Exception) -> Outcome:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, ssl.SSLCertVerificationError):
            return self._again(f"has a certificate that is refused: {cause.verify_message}")
        if isinstance(error, ssl.SSLError) or isinstance(cause, ssl.SSLError):
            return self._again("speaks no TLS that can be used")
        # What the library says may quote the server.
        return self._again(f"broke off ({type(error).__name__})")

    def _again(self, said: str) -> Outcome:
        return Outcome(Result.RETRY, f"{self._place} {said}")


def written(notification: Notification, address: MailAddress, public_url: str) -> EmailMessage:
    """The mail: the same bytes for the same notification.

    Mails of one group are a thread: all of them refer to a first one that never was.
    """
    message = compose(notification, public_url)
    domain = address.sender.rpartition("@")[2]
    key = _digest("key", notification.key)
    group = [f"{name}={value}" for name, value in sorted(notification.group.items())]
    thread = f"<{_digest('group', notification.channel, *group)}@{domain}>"
    mail = EmailMessage(policy=POLICY)
    mail["From"] = address.sender
    mail["To"] = ", ".join(address.recipients)
    mail["Subject"] = message.first
    mail["Date"] = formatdate(min(max(0.0, notification.at), LATEST_INSTANT))
    mail["Message-ID"] = f"<{key}@{domain}>"
    mail["In-Reply-To"] = thread
    mail["References"] = thread
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.text)
    mail.add_alternative(message.html, subtype="html")
    mail.set_boundary(f"={key}=")
    return mail


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:32]


def _code(code: int, message: object) -> str:
    """The code, and the enhanced one of RFC 3463; the words beside them are the server's."""
    found = _ENHANCED.match(message) if isinstance(message, str) else None
    return f"{code} {found[0]}" if found else str(code)


def _is_loopback(connected: socket.socket) -> bool:
    peer = Place(connected.getpeername()[0].partition("%")[0], 0).address
    return peer is not None and all(kind_of(each) is Kind.LOOPBACK for each in reached(peer))


def _own_name() -> str:
    """What it calls itself to a server; never asked of DNS, which may take long."""
    name = socket.gethostname()
    return name if _NAME.match(name) else "localhost"
