"""Which options, variables and settings have a secret for a value: by the words of their names."""

from __future__ import annotations

import re

_SECRET_WORDS = re.compile(
    r"password|passwd|passphrase|passcode|passwort|pass|pwd|pw|secret|token|apikey|apitoken"
    r"|accesstoken|authtoken|secretkey|accesskey|privatekey|auth|credential|credentials|cookie"
    r"|bearer|jwt|pin|otp|psk|requirepass|masterauth|userpwd"
)
"""A name that ends in one of these words has a secret for a value."""

_KEY_OWNERS = re.compile(
    r"api|access|secret|private|encryption|auth|account|shared|master|signing|session|service"
    r"|storage|license|app|application|client|consumer|webhook|hmac|jwt|deploy"
)
"""A name that ends in one of these and ``key`` has a secret for a value."""

_STEMS = ("password", "passwd", "passphrase", "secret")
"""A name with one of these anywhere and a value after ``=`` has a secret for a value…"""

_HARMLESS_ENDS = re.compile(
    r"file|path|dir|directory|name|id|ttl|length|policy|prompt|stdin|store|type|provider"
    r"|manager|server|host|port|url|uri|endpoint|timeout|rotation|expiry|age|env|command|cmd"
    r"|fd"
)
"""…unless it ends in one of these words."""

_SWITCH_BEGINS = re.compile(r"no|enable|disable|use|with|without|require|skip|ask|is|has")
"""A name that begins so is a switch and has no secret for a value."""

_PASSWORD_FLAGS = (
    (re.compile(r"(?:mysql(?:dump|admin|import|check|show|pump|slap|sh|binlog)?)\Z"), "p"),
    (re.compile(r"mariadb(?:-[a-z]+)?\Z"), "p"),
    (re.compile(r"sshpass\Z"), "p"),
    (re.compile(r"mongo(?:sh|dump|restore|export|import|stat|top|files)?\Z"), "p"),
    (re.compile(r"redis-cli\Z"), "a"),
    (re.compile(r"ldap[a-z]+\Z"), "w"),
    (re.compile(r"(?:sqlcmd|ipmitool|zip|unzip)\Z"), "P"),
    (re.compile(r"7z[a-z]*\Z"), "p"),
    (re.compile(r"snmp[a-z]+\Z"), "AX"),
)
"""Short options that take a password, by the program's name."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def is_secret_name(name: str, *, assigned: bool) -> bool:
    """Whether an option or variable of this name has a secret for a value.

    `assigned` says that the value follows ``=`` or ``:``; where it would be the next
    argument, only the end of the name counts.
    """
    if name in ("PWD", "OLDPWD"):
        return False
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or _SWITCH_BEGINS.fullmatch(words[0]):
        return False
    last = words[-1]
    if last.isdigit() and len(words) > 1:
        last = words[-2]
    if _SECRET_WORDS.fullmatch(last):
        return True
    if last == "key" and (
        (len(words) > 1 and _KEY_OWNERS.fullmatch(words[-2]))
        or (assigned and name.isupper() and len(words) > 1)
    ):
        return True
    if not assigned or _HARMLESS_ENDS.fullmatch(last):
        return False
    folded = name.lower()
    return any(stem in folded for stem in _STEMS)


def password_flags(program: str) -> str:
    """The letters of the short options by which this program takes a password."""
    for name, flags in _PASSWORD_FLAGS:
        if name.match(program):
            return flags
    return ""
