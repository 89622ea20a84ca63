"""Debian's Alertmanager on a free port of loopback, as a plain process of the caller's.

It is where `tools/servers.sh` puts it, and tells one webhook of the caller's what it was told.
"""

from __future__ import annotations

from pathlib import Path

from tests.forward.peers import Peer, free_port, require
from tests.nginx import SERVERS

ROOT = SERVERS / "alertmanager"
PROGRAM = ROOT / "usr/bin/prometheus-alertmanager"

CONFIG = """
route:
  receiver: hook
  group_wait: 100ms
  group_interval: 1s
  repeat_interval: 1h
  group_by: [alertname, host]
receivers:
  - name: hook
    webhook_configs:
      - url: http://127.0.0.1:{port}/hook
        send_resolved: true
"""


def unpacked(folder: Path) -> Path:
    """The program in a folder, which reads its templates from where it was unpacked.

    Debian wrote into it the folder where it is installed; of the same length, the path is relative.
    Skips the test that asks where it was not fetched.
    """
    require(PROGRAM)
    found = folder / PROGRAM.name
    content = PROGRAM.read_bytes()
    installed, relative = (
        b"/usr/share/prometheus/alertmanager",
        b"usr/share/prometheus//alertmanager",
    )
    assert installed in content
    assert len(installed) == len(relative)
    found.write_bytes(content.replace(installed, relative))
    found.chmod(0o755)
    return found


def peer(program: Path, folder: Path, hook_port: int) -> Peer:
    """One that is not started yet, with its files in `folder`."""
    config = folder / "alertmanager.yml"
    config.write_text(CONFIG.format(port=hook_port))
    port = free_port()
    line = [
        *("env", "-C", str(ROOT), str(program)),
        *(f"--config.file={config}", f"--storage.path={folder / 'alertmanager-data'}"),
        *(f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="),
    ]
    return Peer(line, port, folder / "alertmanager.log", "/-/ready")
