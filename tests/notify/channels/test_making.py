"""A channel from its address: what may never be told anything is refused at load."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.errors import InputError
from monitor.outbound.faults import UrlNotAllowed
from tests.notify.channels.receiving import channel

MAIL = "?from=monitor@example.com&to=ops@example.com"


@pytest.mark.parametrize(
    ("url", "kind", "target"),
    [
        ("https://example.com/s3cret", "webhook", "https://example.com:443"),
        ("http://hook.lan:8080/s3cret", "webhook", "http://hook.lan:8080"),
        ("http://127.0.0.1:9999/", "webhook", "http://127.0.0.1:9999"),
        ("HTTPS://example.com/", "webhook", "https://example.com:443"),
        (f"mailto://u:s3cret@mail.lan{MAIL}", "mail", "mailto://mail.lan:587"),
        (f"mailto://[::1]:1025{MAIL}", "mail", "mailto://[::1]:1025"),
        (f"mailtos://u:s3cret@mail.lan{MAIL}", "mail", "mailtos://mail.lan:465"),
        (f"mailto://mail.lan:465{MAIL}", "mail", "mailtos://mail.lan:465"),
        ("alertmanager://am.lan", "alertmanager", "http://am.lan:9093"),
        ("alertmanager://am.lan:80/prefix/", "alertmanager", "http://am.lan:80"),
        ("alertmanagers://[2001:4860::8]", "alertmanager", "https://[2001:4860::8]:9093"),
        ("ntfy://s3cret-topic", "ntfy", "ntfy://"),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "slack", "slack://"),
    ],
)
def test_the_address_says_which_kind(url: str, kind: str, target: str) -> None:
    found = channel(url)
    assert (found.kind, found.target) == (kind, target)


NEVER = [
    "",
    "example.com",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_SET",
    "unix:///run/docker.sock",
    "ftp://example.com/",
    "javascript:alert(1)",
    "http://127.1/",
    "http://0x7f000001/",
    "http://2130706433/",
    "http://0/",
    "http://[::ffff:169.254.169.254]/",
    "http://169.254.169.254/latest",
    "http://metadata.google.internal/",
    "http://user@example.com/",
    "http://user:s3cret@example.com/",
    "http://example.com:25/",
    "http://example.com:6379/",
    "http://example.com:22/",
    "http://example.com:99999/",
    "http://exa mple.com/",
    "http://example.com/\r\nX: y",
    "https://",
    f"https://example.com/{'a' * 3000}",
    "http://224.0.0.1/",
    "http://0.0.0.0/",
    f"mailto://u:s3cret@127.1{MAIL}",
    f"mailto://u:s3cret@169.254.169.254{MAIL}",
    f"mailto://u:s3cret@mail.lan:22{MAIL}",
    f"mailto://u:s3cret@mail.lan:6379{MAIL}",
    f"mailto://u:s3cret@mail.lan:80{MAIL}",
    f"mailto://u:s3cret@mail.lan:70000{MAIL}",
    f"mailto://u:s3@cret@mail.lan{MAIL}",
    "mailto://u:s3cret@mail.lan",
    "mailto://u:s3cret@mail.lan?from=a@b.c",
    "mailto://u:s3cret@mail.lan?to=a@b.c",
    "mailto://u:s3cret@mail.lan?from=a@b.c&to=a@b.c%0d%0aBcc:%20x@y.z",
    "mailto://u:s3cret@mail.lan?from=a@b.c%0aX:%20y&to=a@b.c",
    "mailto://u:s3cret@mail.lan?from=a@b.c&to=<a@b.c>",
    'mailto://u:s3cret@mail.lan?from=a@b.c&to="x"@b.c',
    "mailto://u:s3cret@mail.lan?from=a@b.c&from=d@e.f&to=a@b.c",
    f"mailto://u:s3cret@mail.lan?from=a@b.c&to={','.join(['x@y.z'] * 21)}",
    "mailto://u:s3cret@mail.lan?from=a@b.c&to=a@b.c&verify=no",
    "mailto://u%0d%0a:s3cret@mail.lan?from=a@b.c&to=a@b.c",
    "alertmanager://",
    "alertmanager://127.1",
    "alertmanager://169.254.169.254",
    "alertmanager://u:s3cret@am.lan",
    "alertmanager://am.lan:22",
    "alertmanager://am.lan/?a=b",
]


@pytest.mark.parametrize("url", NEVER)
def test_what_may_never_be_is_refused_at_load(url: str) -> None:
    """It must be that it has a code, a sentence for the operator, and shows no secret."""
    with pytest.raises(UrlNotAllowed) as caught:
        channel(url)
    assert caught.value.code == "url_not_allowed"
    assert (caught.value.status, bool(caught.value.detail)) == (400, True)
    assert "s3" not in caught.value.detail


def test_a_secret_is_for_webhooks() -> None:
    """It must be that nobody believes that a mail is signed."""
    with pytest.raises(InputError, match="signs the messages of a webhook"):
        channel("ntfy://topic", secret="s")


def test_authorities_that_cannot_be_read_are_a_fault_at_load(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="authorities"):
        channel("https://example.com/", tls_ca=tmp_path / "none.pem")
