"""Of places it must be that whoever says nothing keeps nobody out who does."""

from __future__ import annotations

from monitor.web.places import Place, Places


class Guests:
    """Connections to some places, and which of them were told to go."""

    def __init__(self, most: int, most_per_address: int = 1000) -> None:
        self.ended: list[int] = []
        self.places = Places(most, most_per_address, lambda host: host == "127.0.0.1")

    def come(self, number: int, host: str = "127.0.0.1") -> Place | None:
        return self.places.take(host, lambda: self.ended.append(number))


def test_the_one_that_has_waited_longest_yields_to_a_newcomer() -> None:
    guests = Guests(3)
    first, second, third = (guests.come(number) for number in range(3))
    assert first is not None
    assert second is not None
    assert third is not None
    guests.places.serve(first)
    guests.places.serve(second)
    guests.places.wait(second)  # answered: it waits from now on
    assert guests.come(3) is not None
    assert guests.ended == [2]
    assert guests.come(4) is not None
    assert guests.ended == [2, 1]
    assert len(guests.places) == 3


def test_whoever_is_served_keeps_its_place_and_newcomers_are_refused() -> None:
    guests = Guests(2)
    for number in range(2):
        place = guests.come(number)
        assert place is not None
        guests.places.serve(place)
    assert guests.come(2) is None
    assert guests.ended == []
    assert guests.places.refused == {"full": 1}


def test_an_address_has_no_more_than_its_share_unless_it_is_exempt() -> None:
    guests = Guests(100, most_per_address=2)
    places = [guests.come(number, "192.0.2.1") for number in range(3)]
    assert places[2] is None
    assert guests.come(3, "192.0.2.2") is not None
    assert all(guests.come(number) is not None for number in range(4, 20))
    assert places[0] is not None
    guests.places.leave(places[0])
    assert guests.come(20, "192.0.2.1") is not None
    assert guests.places.refused == {"address": 1}


def test_a_network_of_ipv6_is_one_address_and_a_mapped_one_is_of_ipv4() -> None:
    guests = Guests(100, most_per_address=1)
    assert guests.come(0, "2001:db8::1") is not None
    assert guests.come(1, "2001:db8::2") is None
    assert guests.come(2, "2001:db8:0:1::1") is not None
    assert guests.come(3, "192.0.2.1") is not None
    assert guests.come(4, "::ffff:192.0.2.1") is None
    assert guests.come(5, "fe80::1%eth0") is not None


def test_a_place_is_given_back_once_and_what_has_gone_does_not_wait() -> None:
    guests = Guests(1)
    first = guests.come(0)
    assert first is not None
    second = guests.come(1)
    assert second is not None
    guests.places.wait(first)  # it was just being answered when it had to go
    guests.places.leave(first)
    guests.places.leave(first)
    assert len(guests.places) == 1
    guests.places.leave(second)
    assert len(guests.places) == 0
    assert guests.ended == [0]
