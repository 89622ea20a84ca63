"""A server's URL.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

import pytest

from monitor.agent.place import Place


@pytest.mark.parametrize(
    ("url", "place", "shown"),
    [
        ("https://mon.lan:8460", Place(True, "mon.lan", 8460), "https://mon.lan:8460"),
        ("https://mon.lan/", Place(True, "mon.lan", 443), "https://mon.lan"),
        ("http://[::1]:80/", Place(False, "::1", 80), "http://[::1]"),
        ("https://a.b/mon/", Place(True, "a.b", 443, "/mon"), "https://a.b/mon"),
        ("HTTPS://Mon.Lan", Place(True, "mon.lan", 443), "https://mon.lan"),
    ],
)
def test_a_url_names_a_place(url: str, place: Place, shown: str) -> None:
    assert Place.parse(url) == place
    assert str(place) == shown


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mon.lan",
        "ftp://x",
        "https://",
        "https://u:p@x",
        "https://x?a=1",
        "https://x#a",
        "https://x:99999",
        "https://x:y",
        "https://x y",
        "https://\x00",
        "https://é",
        "https://[::1",
        "https://x/" + "a" * 3000,
    ],
    ids=range(14),
)
def test_what_is_no_url_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected a URL"):
        Place.parse(url)


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("localhost.evil", False),
        ("127.0.0.1.nip", False),
    ],
)
def test_loopback_is_this_machine_alone(host: str, own: bool) -> None:
    assert Place(False, host, 80).is_loopback is own
