"""Whether the server in this container answers: exit status 0 where it does.

It asks from inside, over TLS first and then without, and needs no certificate to be right: the
question is whether the server lives, not who it is.
"""

from __future__ import annotations

import os
import ssl
import sys
import urllib.request

PORT = int(os.environ.get("MONITOR_PORT", "8460"))
SECONDS = 2.5


def answers(scheme: str) -> bool:
    """Whether ``/healthz`` is answered with 200."""
    context = None
    if scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    url = f"{scheme}://127.0.0.1:{PORT}/healthz"
    try:
        with urllib.request.urlopen(url, timeout=SECONDS, context=context) as reply:  # noqa: S310
            return bool(reply.status == 200)
    except (OSError, ValueError):
        return False


if __name__ == "__main__":
    sys.exit(0 if answers("https") or answers("http") else 1)
