"""Room for streams: places are taken at once and given back once."""

from __future__ import annotations

import pytest

from monitor.errors import MonitorError
from monitor.web.config import Limits, ServerConfig, limits
from monitor.web.room import Room


def refused(room: Room, address: str) -> str:
    with pytest.raises(MonitorError) as caught:
        room.enter(address)
    assert caught.value.status == 429
    return caught.value.code


def test_there_are_no_more_places_than_the_limit_and_one_given_back_is_free() -> None:
    room = Room(Limits(most_connections=2))
    room.enter("127.0.0.1")
    room.enter("::1")
    assert refused(room, "127.0.0.1") == "too_many_connections"
    room.leave("::1")
    room.enter("127.0.0.1")
    assert refused(room, "127.0.0.1") == "too_many_connections"


def test_an_address_has_its_own_limit_and_others_are_not_touched_by_it() -> None:
    room = Room(Limits(most_connections=100, most_per_address=1))
    room.enter("127.0.0.1")
    assert refused(room, "127.0.0.1") == "too_many_streams"
    room.enter("192.0.2.1")
    room.leave("127.0.0.1")
    room.enter("127.0.0.1")


@pytest.mark.parametrize(
    ("host", "most"), [("127.0.0.1", None), ("::1", None), ("192.0.2.1", 64), ("", 64)]
)
def test_loopback_has_no_limit_unless_one_is_set(host: str, most: int | None) -> None:
    assert Limits(most_connections=1).per_address(host) == most
    assert Limits(most_connections=1, most_per_address=3).per_address(host) == 3


@pytest.mark.parametrize(
    ("descriptors", "most"), [(64, 16), (1024, 576), (65_536, 48_960), (1_048_576, 786_240)]
)
def test_streams_get_what_collectors_and_everything_else_leave(descriptors: int, most: int) -> None:
    assert limits(ServerConfig(), descriptors).most_connections == most
    assert limits(ServerConfig(max_connections=99), descriptors).most_connections == 99


def test_a_user_has_only_so_many_streams_wherever_they_come_from() -> None:
    """It must be that one account, or one token, cannot take the places of all."""
    room = Room(Limits(most_connections=100, most_per_user=2))
    room.enter("127.0.0.1", "ann")
    room.enter("10.0.0.1", "ann")
    with pytest.raises(MonitorError) as refused:
        room.enter("10.0.0.2", "ann")
    assert (refused.value.code, refused.value.limit) == ("too_many_streams", 2)
    room.enter("10.0.0.2", "ben")
    for _ in range(3):
        room.enter("127.0.0.1")  # an open server knows nobody by name
    room.leave("10.0.0.1", "ann")
    room.enter("10.0.0.2", "ann")


def test_a_network_of_64_bits_is_one_address() -> None:
    """It must be that whoever has such a network, as every customer has, gets no more."""
    room = Room(Limits(most_connections=100, most_per_address=1))
    room.enter("2001:db8::1")
    assert refused(room, "2001:db8::2") == "too_many_streams"
    room.enter("2001:db8:0:1::1")
    room.leave("2001:db8::1")
    room.enter("2001:db8::2")
