"""Series keys and schemas."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.model import Schema, SeriesKey, key


def test_a_key_sorts_its_attributes_and_escapes_their_values() -> None:
    assert key("m", b="2", a='x"\\\n') == 'm{a="x\\"\\\\\\n",b="2"}'
    assert key("m") == "m"
    assert key("m", name="eth0") == 'm{name="eth0"}'


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), st.text(), max_size=4))
@example({"name": "x"})
def test_a_key_that_was_written_reads_back(attributes: dict[str, str]) -> None:
    written = SeriesKey.of("system.cpu.time", **attributes)
    assert SeriesKey.parse(str(written)) == written


@pytest.mark.parametrize(
    "text",
    ["", "{}x", 'm{a="1"', "m{a}", 'm{a="1}', 'm{a="1",a="2"}', 'm{a="1"b="2"}', 'm{a="\\q"}'],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"attribute|series key|escapes"):
        SeriesKey.parse(text)


def test_a_schema_names_its_columns_and_itself() -> None:
    schema = Schema(("a", 'b{x="1"}', 'b{x="2"}'))
    assert schema.index['b{x="2"}'] == 2
    assert schema.columns_by_name["b"] == (1, 2)
    assert schema.digest == Schema(schema.texts).digest
    assert schema.digest != Schema(("a",)).digest
