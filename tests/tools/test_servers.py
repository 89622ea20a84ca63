"""The servers that tests and benches lean on: it must be that ..."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import urllib.request
from pathlib import Path

import pytest

from tests import nginx
from tests.serving import ROOT


def fetch(checkout: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(checkout / "tools" / "servers.sh"), *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with nothing fetched, at a path with a space in it."""
    root = tmp_path / "a checkout"
    (root / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "tools" / "servers.sh", root / "tools")
    return root


def proxies_failed(log: Path) -> list[str]:
    """What is said of the proxies besides nginx where none can be fetched."""
    packages = {
        "Apache": "apache2-bin libapr1 libaprutil1 liblua5.3-0",
        "Caddy": "caddy",
        "HAProxy": "haproxy libopentracing-c-wrapper0 libopentracing1 liblua5.3-0",
    }
    lines = []
    for name, wanted in packages.items():
        failed = f"{name} could not be fetched for tests: {log} says why"
        lines += [f"fetching {wanted}", failed]
    return lines


@pytest.fixture
def fetched() -> None:
    """The nginx of this checkout."""
    nginx.require()


def test_a_machine_without_apt_gets_one_clear_line(checkout: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    for name in ("dirname", "ldd"):
        found = shutil.which(name)
        assert found is not None
        (bare / name).symlink_to(found)
    said = fetch(checkout, PATH=str(bare))
    assert (said.returncode, said.stdout) == (0, "")
    assert said.stderr == (
        "nginx cannot be fetched for tests and benches: this machine has no apt-get dpkg-deb\n"
        "node_exporter cannot be fetched for tests: this machine has no apt-get dpkg-deb\n"
        "Prometheus cannot be fetched for tests and benches: this machine has no apt-get dpkg-deb\n"
        "VictoriaMetrics cannot be fetched for tests and benches: this machine has no apt-get"
        " dpkg-deb\n"
        "Alertmanager cannot be fetched for tests: this machine has no apt-get dpkg-deb\n"
        "Apache cannot be fetched for tests: this machine has no apt-get dpkg-deb\n"
        "Caddy cannot be fetched for tests: this machine has no apt-get dpkg-deb\n"
        "HAProxy cannot be fetched for tests: this machine has no apt-get dpkg-deb\n"
    )
    assert not (checkout / ".cache").exists()


def test_what_cannot_be_fetched_is_one_clear_line_and_leaves_nothing(
    checkout: Path, tmp_path: Path
) -> None:
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "apt-get").write_text("#!/bin/sh\necho 'E: no such package'\nexit 100\n")
    (bin_ / "apt-get").chmod(0o755)
    said = fetch(checkout, PATH=f"{bin_}:{os.environ['PATH']}")
    log = checkout / ".cache" / "servers.log"
    assert (said.returncode, said.stderr.splitlines()[1:]) == (
        0,
        [
            f"nginx could not be fetched for tests and benches: {log} says why",
            "fetching prometheus-node-exporter",
            f"node_exporter could not be fetched for tests: {log} says why",
            "fetching prometheus",
            f"Prometheus could not be fetched for tests and benches: {log} says why",
            "fetching victoria-metrics",
            f"VictoriaMetrics could not be fetched for tests and benches: {log} says why",
            "fetching prometheus-alertmanager",
            f"Alertmanager could not be fetched for tests: {log} says why",
            *proxies_failed(log),
        ],
    )
    assert "no such package" in log.read_text()
    assert [path.name for path in log.parent.iterdir()] == ["servers.log"]


def test_of_what_benches_want_each_that_is_missing_is_one_line(
    checkout: Path, tmp_path: Path
) -> None:
    """It must be that the others are there nevertheless, and are not asked for again."""
    package = tmp_path / "package"
    for program in ("prometheus", "promtool"):
        (package / "usr" / "bin").mkdir(parents=True, exist_ok=True)
        shutil.copy("/bin/true", package / "usr" / "bin" / program)
    (package / "DEBIAN").mkdir()
    (package / "DEBIAN" / "control").write_text(
        "Package: prometheus\nVersion: 1\nArchitecture: all\nMaintainer: nobody\n"
        "Description: not the real one\nDepends: libjs-jquery, libc6\n"
    )
    built = ["dpkg-deb", "--build", str(package), str(tmp_path / "made.deb")]
    subprocess.run(built, check=True, stdout=subprocess.DEVNULL)
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "apt-get").write_text(
        '#!/bin/sh\ncase "$*" in\n'
        f"*'download prometheus') cp '{tmp_path / 'made.deb'}' . ;;\n"
        "*) echo 'E: no such package'; exit 100 ;;\nesac\n"
    )
    (bin_ / "apt-get").chmod(0o755)
    path = f"{bin_}:{os.environ['PATH']}"
    log = checkout / ".cache" / "servers.log"

    said = fetch(checkout, "bench", PATH=path)
    assert (said.returncode, said.stderr.splitlines()) == (
        0,
        [
            "fetching nginx nginx-common libnginx-mod-nchan",
            f"nginx could not be fetched for tests and benches: {log} says why",
            "fetching prometheus-node-exporter",
            f"node_exporter could not be fetched for tests: {log} says why",
            "fetching prometheus",
            "fetching victoria-metrics",
            f"VictoriaMetrics could not be fetched for tests and benches: {log} says why",
            "fetching prometheus-alertmanager",
            f"Alertmanager could not be fetched for tests: {log} says why",
            *proxies_failed(log),
            "fetching collectd-core",
            f"collectd could not be fetched for benches: {log} says why",
            "fetching netdata-core",
            f"netdata could not be fetched for benches: {log} says why",
        ],
    )
    assert (checkout / ".cache" / "servers" / "prometheus" / "usr" / "bin" / "promtool").is_file()
    assert "fetching prometheus\n" not in fetch(checkout, "bench", PATH=path).stderr


@pytest.mark.usefixtures("fetched")
def test_the_second_time_nothing_is_done() -> None:
    before = nginx.program().stat()
    said = fetch(ROOT, PATH=str(Path("/bin")))
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")
    assert nginx.program().stat() == before


@pytest.mark.usefixtures("fetched")
def test_nginx_serves_what_the_test_says_and_is_gone_afterwards(tmp_path: Path) -> None:
    http = "server { listen 127.0.0.1:PORT; location / { return 200 'yes'; } }"
    with nginx.running(tmp_path / "a folder", http) as server:
        with urllib.request.urlopen(server.url, timeout=5) as answer:
            assert answer.read() == b"yes"
        processes = [server.pid, *server.workers]
    assert len(processes) == 2
    assert not [pid for pid in processes if Path(f"/proc/{pid}").exists()]


@pytest.mark.usefixtures("fetched")
def test_nchan_carries_a_message_to_a_reader(tmp_path: Path) -> None:
    http = (
        "server { listen 127.0.0.1:PORT;"
        " location /sub { nchan_subscriber eventsource; nchan_channel_id one; }"
        " location /pub { nchan_publisher; nchan_channel_id one; } }"
    )
    with nginx.running(tmp_path, http, nchan=True) as server:
        wanted = urllib.request.Request(
            f"{server.url}/sub", headers={"Accept": "text/event-stream"}
        )
        heard: list[bytes] = []

        def read() -> None:
            with urllib.request.urlopen(wanted, timeout=10) as answer:
                heard.extend(line for line in iter(answer.readline, b"data: it\n") if line)

        reader = threading.Thread(target=read)
        reader.start()
        while reader.is_alive():
            urllib.request.urlopen(f"{server.url}/pub", data=b"it", timeout=5).close()
            reader.join(0.05)
        assert any(line.startswith(b"id: ") for line in heard)


def test_a_configuration_that_nginx_refuses_is_told(tmp_path: Path, fetched: None) -> None:
    with pytest.raises(AssertionError, match="unknown directive"), nginx.running(tmp_path, "no;"):
        pass
