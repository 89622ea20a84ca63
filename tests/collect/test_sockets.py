"""Sockets and the protocols' counters.

Every name finishes the sentence "it must be that …".
"""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from monitor.collect.sockets import Sockets
from monitor.errors import Absent
from monitor.model import key
from tests.collect.trees import golden, own, plant

NAME = "system.network"
KINDS = {
    "sockets.used": 290,
    "tcp.inuse": 12,
    "tcp.orphan": 1,
    "tcp.tw": 34,
    "tcp.alloc": 56,
    "tcp.mem": 78,
    "udp.inuse": 9,
    "udp.mem": 10,
    "raw.inuse": 2,
    "frag.inuse": 4,
    "tcp6.inuse": 5,
    "udp6.inuse": 6,
}
SNMP = "proc/1/net/snmp"


def test_the_golden_files_give_these_values(tmp_path: Path) -> None:
    values = Sockets(golden(tmp_path)).collect(1.0).values
    assert values == {
        **{key(f"{NAME}.sockets", kind=kind): float(many) for kind, many in KINDS.items()},
        f"{NAME}.tcp.established": 42.0,
        key(f"{NAME}.tcp.segments", direction="receive"): 100000.0,
        key(f"{NAME}.tcp.segments", direction="transmit"): 90000.0,
        f"{NAME}.tcp.retransmits": 77.0,
        f"{NAME}.tcp.resets": 88.0,
        # Both internet protocols together.
        key(f"{NAME}.udp.datagrams", direction="receive"): 550.0,
        key(f"{NAME}.udp.datagrams", direction="transmit"): 660.0,
        key(f"{NAME}.udp.errors", kind="receive_buffer"): 10.0,
        key(f"{NAME}.udp.errors", kind="send_buffer"): 10.0,
        key(f"{NAME}.udp.errors", kind="checksum"): 10.0,
        key(f"{NAME}.udp.errors", kind="no_port"): 10.0,
        f"{NAME}.tcp.listen_overflows": 13.0,
    }


def test_without_ipv6_there_is_the_other_alone(tmp_path: Path) -> None:
    root = golden(tmp_path)
    for name in ("sockstat6", "snmp6"):
        (tmp_path / "proc/1/net" / name).unlink()
    values = Sockets(root).collect(1.0).values
    assert key(f"{NAME}.sockets", kind="tcp6.inuse") not in values
    assert values[key(f"{NAME}.udp.datagrams", direction="receive")] == 500.0


def test_columns_are_found_by_name_even_when_they_move(tmp_path: Path) -> None:
    sockets = Sockets(plant(tmp_path, {SNMP: "Tcp: OutRsts CurrEstab\nTcp: 1 2\n"}))
    assert sockets.collect(1.0).values == {
        f"{NAME}.tcp.established": 2.0,
        f"{NAME}.tcp.resets": 1.0,
    }
    plant(tmp_path, {SNMP: "Tcp: CurrEstab Other OutRsts\nTcp: 3 4 5\n"})
    assert sockets.collect(2.0).values == {
        f"{NAME}.tcp.established": 3.0,
        f"{NAME}.tcp.resets": 5.0,
    }


@pytest.mark.parametrize(
    "text",
    ["Tcp: CurrEstab\n", "Tcp: CurrEstab OutRsts\nTcp: 1\n", "Tcp: CurrEstab\nUdp: 1\n",
     "Tcp: CurrEstab\nTcp: many\n"],
)  # fmt: skip
def test_a_broken_table_is_a_value_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"protocol table|literal"):
        Sockets(plant(tmp_path, {SNMP: text})).collect(1.0)


def test_files_with_nothing_of_ours_are_absent(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="no network protocols"):
        Sockets(plant(tmp_path, {SNMP: "Ip: A\nIp: 1\n"})).collect(1.0)


def test_a_connection_of_this_machine_is_counted() -> None:
    sockets = Sockets(own())
    try:
        before = sockets.collect(1.0).values
    except Absent:
        pytest.skip("this machine shows no protocols")
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname(), timeout=5)
        far, _ = server.accept()
        near.sendall(b"x")
        assert far.recv(1) == b"x"
        after = sockets.collect(2.0).values
        near.close()
        far.close()
    for name in ('tcp.segments{direction="receive"}', 'tcp.segments{direction="transmit"}'):
        assert after[f"{NAME}.{name}"] > before[f"{NAME}.{name}"]
    assert after[key(f"{NAME}.sockets", kind="tcp.inuse")] >= 1
