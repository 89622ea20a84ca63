"""Services: anything that apprise carries to, as far as the service itself says where that is.

An address of apprise's may name any host (``json://HOST``, ``gotify://HOST``), and apprise connects
to it without the outbound guard; so only schemes pass whose host the service fixes, which is read
from apprise's own description of each, and a few by hand where that is not the truth.  Schemes that
act on this machine (syslog, D-Bus, a desktop) are refused, and so is what makes apprise read files.

Apprise is imported where a channel needs it, with all of its services, which takes 0.2 s of
processor time and 18 MB; and it blocks, so that each attempt has a thread of its own.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl

from monitor.core.quantity import shown
from monitor.core.secret import Secret
from monitor.notify.channel import DELIVERED, Notification, Outcome, Result
from monitor.notify.message import compose
from monitor.outbound.faults import UrlNotAllowed

if TYPE_CHECKING:
    import apprise

DEADLINE_SECONDS = 15.0
"""How long one attempt may take; apprise's own timeouts are four seconds each."""

URL_CHARACTERS = 2_048

MOST_TEMPLATES = 2
"""Forms of an address that a complaint shows."""

USE_THE_WEBHOOK = "its host is free to choose: use the webhook, https://HOST/PATH, instead"
ACTS_HERE = "it acts on the machine itself and tells nobody"

_REFUSED: Mapping[str, str] = {
    "bluesky": USE_THE_WEBHOOK,  # an account's own server is asked, wherever its name leads
    "bsky": USE_THE_WEBHOOK,
    "nostr": USE_THE_WEBHOOK,  # its relays, and the servers of names
    "zulip": USE_THE_WEBHOOK,  # takes ORGANIZATION.HOST for an organization
    "vapid": "it reads keys and receivers from files of the machine",
    "syslog": ACTS_HERE,
}
"""Schemes that apprise describes as if the service fixed their host, and what is the matter."""

_HOSTED: Mapping[str, Callable[[Any], bool]] = {
    "ntfy": lambda plugin: plugin.mode == "cloud",
    "ntfys": lambda plugin: plugin.mode == "cloud",
}
"""Schemes whose host may be left out, and whether a plugin means the service's own."""

_LEADING_AWAY = frozenset({"template", "keyfile", "subfile", "attach", "config"})
"""What follows a ``?`` and makes apprise read a file or fetch an address."""

_OURS = frozenset({"retry", "wait", "cto", "rto", "store", "redirect", "overflow", "format"})
"""What follows a ``?`` and is decided here: how often and how long is tried, how it is written."""

_SCHEME = re.compile(r"([A-Za-z0-9]{2,32})://")
_STATUS = re.compile(r"error=([1-5][0-9]{2})\b")
_LOCAL = "{schema}://"
"""An address that needs nothing else leads to this machine."""


def schemes() -> dict[str, str]:
    """Every scheme of apprise, and why it does not pass: empty for those that do."""
    plugins = _plugins()
    return {name: _refusal(name, plugins[name]) for name in sorted(plugins.schemas())}


def make(name: str, url: Secret, public_url: str = "") -> Service:
    """The channel of a service's address.

    Raises `UrlNotAllowed` with what is wrong; no sentence holds anything of it but its scheme.
    """
    found = _plugin(url.reveal())
    return Service(name, _scheme(url.reveal()), found, public_url=public_url)


def _scheme(url: str) -> str:
    found = _SCHEME.match(url) if len(url) <= URL_CHARACTERS and url.isprintable() else None
    if found is None:
        raise UrlNotAllowed("expected an address such as https://example.com/path or tgram://…")
    return found[1].lower()


def _plugin(url: str) -> apprise.NotifyBase:
    scheme = _scheme(url)
    plugins = _plugins()
    if scheme not in plugins.schemas():
        raise UrlNotAllowed(f"there is no service {shown(scheme)}; https:// is the webhook")
    described = plugins[scheme]
    refusal = _refusal(scheme, described)
    if refusal:
        raise UrlNotAllowed(f"{scheme}:// is not allowed: {refusal}")
    for key, value in parse_qsl(url.partition("?")[2], keep_blank_values=True):
        _judge_option(scheme, key.lower().lstrip("+-:"), value)
    found = _instance(url)
    if found is None:
        forms = " or ".join(
            str(form).replace("{schema}", scheme) for form in described.templates[:MOST_TEMPLATES]
        )
        raise UrlNotAllowed(f"this is no address of {described.service_name}: expected {forms}")
    is_its_own = _HOSTED.get(scheme)
    if is_its_own is not None and not is_its_own(found):
        raise UrlNotAllowed(f"{scheme}:// with a host is not allowed: {USE_THE_WEBHOOK}")
    return found


def _judge_option(scheme: str, key: str, value: str) -> None:
    if key in _LEADING_AWAY:
        raise UrlNotAllowed(f"{scheme}:// with {shown(key)} leads to a file or another address")
    if key in _OURS:
        raise UrlNotAllowed(f"{shown(key)} is not for an address to say")
    if key == "verify" and value.lower() not in ("yes", "true", "1"):
        raise UrlNotAllowed("certificates are always verified")


def _refusal(scheme: str, described: Any) -> str:
    if scheme in _REFUSED:
        return _REFUSED[scheme]
    if not described.enabled:
        return "it needs what is not installed here"
    if any(str(form) == _LOCAL for form in described.templates):
        return ACTS_HERE
    if "host" in described.template_tokens and scheme not in _HOSTED:
        return USE_THE_WEBHOOK
    return ""


def _plugins() -> Any:
    _quiet()
    with warnings.catch_warnings():
        # It asks for modules that are to go, and does without them where they are gone.
        warnings.simplefilter("ignore", DeprecationWarning)
        from apprise.manager_plugins import (  # noqa: PLC0415 - 0.2 s and 18 MB
            NotificationManager,
        )

        found: Any = NotificationManager  # it is not annotated
        manager = found()
        manager.load_modules()
    return manager


def _instance(url: str) -> apprise.NotifyBase | None:
    import apprise  # noqa: PLC0415 - it is imported already

    asset = apprise.AppriseAsset(
        app_id="Awoooi Monitor",
        app_desc="Awoooi Monitor",
        secure_logging=True,
        http_redirects=False,
        storage_mode="memory",
        interpret_escapes=False,
        interpret_emojis=False,
    )
    return apprise.Apprise.instantiate(url, asset=asset)


def _sort_of(notification: Notification) -> str:
    """What apprise calls a notification of this severity, by which services colour it."""
    firing = [one.alert.severity for one in notification.told if not one.is_resolved]
    if not firing:
        return "success"
    return "failure" if "critical" in firing else "warning"


class _Said(logging.Handler):
    """Hears the statuses that services answered with, by thread; the lines hold secrets."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.statuses: dict[int, int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        try:
            found = _STATUS.search(record.getMessage())
        except (TypeError, ValueError):
            return
        if found and record.thread is not None and record.thread in self.statuses:
            self.statuses[record.thread] = int(found[1])


_said = _Said()


def _quiet() -> None:
    """Keep what apprise and what it uses say out of the log: whole addresses, keys in them."""
    logger = logging.getLogger("apprise")
    if _said not in logger.handlers:
        logger.handlers = [_said]
        logger.propagate = False
        logger.setLevel(logging.WARNING)
        for name in ("urllib3", "requests", "requests_oauthlib", "oauthlib"):
            logging.getLogger(name).setLevel(logging.ERROR)


class Service:
    """Carries notifications through a service."""

    repeat_seconds: ClassVar[float | None] = None

    def __init__(
        self,
        name: str,
        scheme: str,
        plugin: apprise.NotifyBase,
        *,
        public_url: str = "",
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        self.name = name
        self.kind = scheme
        self.target = f"{scheme}://"
        self._plugin = plugin
        self._service = str(plugin.service_name)
        self._public_url = public_url
        self._deadline_seconds = deadline_seconds
        self._thread: threading.Thread | None = None

    async def deliver(self, notification: Notification) -> Outcome:
        """Try once, in a thread; one that is still at the attempt before is waited for."""
        if self._thread is not None and self._thread.is_alive():
            return Outcome(Result.RETRY, f"{self._service} has not answered the last attempt yet")
        message = compose(notification, self._public_url)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Outcome] = loop.create_future()

        def told(outcome: Outcome) -> None:
            if not answer.done():
                answer.set_result(outcome)

        def attempt() -> None:
            outcome = self._attempt(message.first, message.rest, _sort_of(notification))
            try:
                loop.call_soon_threadsafe(told, outcome)
            except RuntimeError:
                return  # the loop has ended

        self._thread = threading.Thread(target=attempt, name=f"notify {self.name}", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            self._thread = None
            return Outcome(Result.RETRY, "no thread can be had")
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await answer
        except TimeoutError:
            return Outcome(Result.RETRY, f"{self._service} did not answer in time")

    def _attempt(self, title: str, text: str, sort: str) -> Outcome:
        thread = threading.get_ident()
        _said.statuses[thread] = 0
        try:
            is_taken = self._plugin.notify(
                title=title,
                body=text,
                body_format="text",
                notify_type=sort,
            )
        except Exception as error:  # noqa: BLE001 - a service's fault is that channel's, no more
            # Not the text: it may quote the address, which is a key.
            return Outcome(Result.RETRY, f"{self._service} failed ({type(error).__name__})")
        finally:
            status = _said.statuses.pop(thread, 0)
        if is_taken:
            return DELIVERED
        said = f"answered {status}" if status else "did not take it, or was not reached"
        return Outcome(Result.RETRY, f"{self._service} {said}")

    async def close(self) -> None:
        """Nothing is kept open; a thread that still waits ends with its timeouts."""
