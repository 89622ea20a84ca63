"""One agent's lives.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

from monitor.ingest.lives import ALIVE_SECONDS, Lives


def test_an_agent_that_is_started_again_and_again_is_one() -> None:
    lives = Lives()
    for number in range(50):
        assert not lives.is_second(f"life {number}", number)
        lives.heard(f"life {number}", number)


def test_what_was_on_its_way_while_it_was_started_again_is_no_second_one() -> None:
    lives = Lives()
    for boot_id in ("former", "life", "former", "life", "life"):
        assert not lives.is_second(boot_id, 0.0)
        lives.heard(boot_id, 0.0)


def test_of_two_at_once_the_later_one_is_turned_away() -> None:
    lives = Lives()
    lives.heard("first", 0.0)
    accepted = {"first": 0, "copy": 0}
    for second in range(100):
        for boot_id in accepted:
            if not lives.is_second(boot_id, float(second)):
                lives.heard(boot_id, float(second))
                accepted[boot_id] += 1
    assert accepted["first"] == 100
    assert accepted["copy"] <= 3
    assert not lives.is_second("started again", 100.0)


def test_once_the_first_is_gone_the_other_is_taken_and_both_are_judged_anew() -> None:
    lives = Lives()
    for second in range(10):
        for boot_id in ("first", "copy"):
            if not lives.is_second(boot_id, float(second)):
                lives.heard(boot_id, float(second))
    later = 10 + ALIVE_SECONDS
    assert lives.is_second("copy", later - 2)
    assert not lives.is_second("copy", later)
    lives.heard("copy", later)
    assert not lives.is_second("first", later + 1), "it may have been away"
