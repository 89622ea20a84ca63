"""Which floor a reader has: pure rules over the floors of classes and of erased topics.

A *floor* is the highest position that may be missing.  Trimming raises a class's, erasing
raises those of the topics that the erased events stood on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from monitor.model import RetentionClass

_PLAIN: Mapping[str, tuple[RetentionClass, ...]] = {
    "fleet": (RetentionClass.HOSTS,),
    "alerts": (RetentionClass.ALERTS,),
    "approvals": (RetentionClass.AUDIT,),
}
"""What can stand on a topic."""

_NAMED: Mapping[str, tuple[RetentionClass, ...]] = {
    "host": (RetentionClass.HOSTS, RetentionClass.ALERTS),
    "terminal": (RetentionClass.TERMINAL,),
}
"""What can stand on a topic that names something after a colon, by what is before it."""

_ALL = tuple(RetentionClass)


def classes_on(topic: str) -> tuple[RetentionClass, ...]:
    """The retention classes that can stand on a topic; all, where it is none that we know."""
    kind, colon, _ = topic.partition(":")
    return (_NAMED if colon else _PLAIN).get(kind, _ALL)


def floor_of(
    topics: Iterable[str] | None,
    classes: Mapping[RetentionClass, int],
    erased: Mapping[str, int],
) -> int:
    """The floor of whoever reads these topics, or everything."""
    if topics is None:
        return max(*classes.values(), *erased.values(), 0, 0)
    floor = 0
    for topic in topics:
        floor = max(floor, erased.get(topic, 0), *(classes.get(c, 0) for c in classes_on(topic)))
    return floor


def strays(class_: RetentionClass, topics: Iterable[str]) -> Iterator[str]:
    """Topics of an event on which nobody expects one of its class.

    The class's floor says nothing to their readers, so that letting such an event go has to
    raise the topic's own.
    """
    return (topic for topic in topics if class_ not in classes_on(topic))


def is_covered(topic: str, floor: int, classes: Mapping[RetentionClass, int]) -> bool:
    """Whether an erased topic's floor can be forgotten: its classes' are as high."""
    return any(classes.get(class_, 0) >= floor for class_ in classes_on(topic))
