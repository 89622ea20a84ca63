"""Command lines fit to be shown: secrets masked at the source, cut, without control characters.

A command line may carry passwords, and every user of the host may read it; that is no reason
to copy it into a database and onto a page.  What looks like a secret's value is replaced by
``***`` before anything is cut or stored.  Where it is doubtful, more is masked rather than
less; a path that names a file with a secret in it is not a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from monitor.collect.secret_names import is_secret_name, password_flags

MASK = "***"

LONGEST_INPUT_BYTES = 4_096
"""How much of a command line is looked at: more than is shown, for a secret may be long."""

LONGEST_SHOWN_BYTES = 256
"""How much of a command line is shown, in UTF-8."""

_LOGIN_PROGRAMS = ("smbclient", "curl")
"""Programs whose -u or -U takes a user and a password in one."""

_LOGIN_FLAGS = "p"
"""The same after the word ``login``, as in ``docker login -u me -p x``."""

_NAMED = re.compile(r"""(?s)(["']?-{0,2}/?([\w.\-]++)["']?[=:]\s*)(.+)""")
_INNER = re.compile(r"""(?<![\w.\-])([\w.\-]++)["']?[=:]["']?""")
_INNER_VALUE = re.compile(r"""[^\s"',;&}]++""")
_LOGIN_FLAG = re.compile(r"--(?:proxy-)?user=")
_FLAG = re.compile(r"--?([A-Za-z][\w.\-]*+)\Z")
_SETTING = re.compile(r"[A-Za-z][\w\-]*+\Z")
_NEXT_FLAG = re.compile(r"--[A-Za-z][\w\-]*+(?:=.*)?\Z", re.DOTALL)
_HEADER = re.compile(
    r"""(?i)(?<![\w\-])((?:proxy-)?authorization|x-[\w\-]*+|private-token|(?:set-)?cookie)"""
    r"""(["']?\s*[:=]\s*)([^'"]+)"""
)
_BEARER = re.compile(r"""(?i)\b(bearer|basic)(\s+)(?=[\w\-]*[\d=._])([^\s'"]{8,})""")
_URL_PORT = re.compile(r"\d++(?:[/?#]|\Z)")
_URL_USER = re.compile(r"""://[^\s/:@?#'"]*+:""")
_RUN = re.compile(r"""[^\s'"]++""")
_LOOKS_SECRET = re.compile(
    r"\b(?:A(?:KIA|SIA)[0-9A-Z]{16}"
    r"|eyJ[\w\-]{8,}(?:\.[\w\-]*){0,2}"
    r"|gh[pousr]_\w{16,}|github_pat_\w{16,}|glpat-[\w\-]{16,}"
    r"|hooks\.slack\.com/services/\S+|bot\d{6,12}:[\w\-]{30,}"
    r"|xox[abeprs]-[\w\-]{8,}|sk-[\w\-]{16,}|(?:agt|mon)_\w{16,})"
)


def command_line(raw: bytes) -> str:
    """The text to show of a ``/proc/PID/cmdline``: at most 256 bytes, secrets masked."""
    cut = len(raw) > LONGEST_INPUT_BYTES
    raw = raw[:LONGEST_INPUT_BYTES].rstrip(b"\0")
    arguments = raw.decode(errors="backslashreplace").split("\0")
    text = " ".join(_Masker(cut=cut).mask(arguments))
    return _shorten(escape(text), more=cut)


def escape(text: str) -> str:
    """The text with every character that is not printable written as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _shorten(text: str, *, more: bool) -> str:
    encoded = text.encode()
    if len(encoded) <= LONGEST_SHOWN_BYTES and not more:
        return text
    ellipsis = "…"
    room = LONGEST_SHOWN_BYTES - len(ellipsis.encode())
    return encoded[:room].decode(errors="ignore") + ellipsis


class _Masker:
    """Walks the arguments in order, for a secret may stand in the one after its name."""

    def __init__(self, *, cut: bool) -> None:
        self._cut = cut
        self._flags = ""
        self._next_is_secret = False
        self._next_is_assigned = False
        self._next_is_login = False
        self._quote = ""

    def mask(self, arguments: list[str]) -> Iterator[str]:
        """The arguments with the values of secrets masked."""
        for argument in arguments:
            if self._take_next(argument):
                yield MASK
                continue
            named = _NAMED.match(argument)
            if named and is_secret_name(named[2], assigned=True):
                yield named[1] + MASK
                continue
            if self._next_is_login:
                self._next_is_login = False
                yield _mask_login(argument)
                continue
            shown = self._mask_known(argument)
            pieces = re.split(r"(\s+)", shown)
            if len(pieces) == 1:
                yield self._mask_word(shown)
                continue
            # One argument with words in it: a shell's script, or a title a program gave itself.
            yield "".join(
                piece if not piece or piece.isspace() else self._mask_in_text(piece)
                for piece in pieces
            )
            self._quote = ""

    def _mask_in_text(self, word: str) -> str:
        if self._quote:
            if self._quote in word:
                self._quote = ""
            return MASK
        if self._take_next(word):
            self._open_quote(word)
            return MASK
        if self._next_is_login:
            self._next_is_login = False
            return _mask_login(word)
        return self._mask_word(word)

    def _take_next(self, argument: str) -> bool:
        """Whether this argument is the value of the secret named before it."""
        waiting, self._next_is_secret = self._next_is_secret, False
        assigned, self._next_is_assigned = self._next_is_assigned, False
        if argument in ("=", ":") and (waiting or assigned):
            self._next_is_secret = True
            return False
        return waiting and argument != "" and not _NEXT_FLAG.match(argument)

    def _mask_word(self, word: str) -> str:
        """One word, which may name a secret, hold one, or say what program it is."""
        named = _NAMED.match(word)
        if named and is_secret_name(named[2], assigned=True):
            self._open_quote(named[3])
            return named[1] + MASK
        flag = _FLAG.match(word)
        if flag and self._is_short_secret(word):
            kept = word[:2]
            if len(word) == 2:
                self._next_is_secret = True
                return word
            return kept + MASK
        if flag and is_secret_name(flag[1], assigned=False):
            self._next_is_secret = True
            return word
        if self._is_short_secret(word):
            return word[:2] + MASK
        if word.startswith("/p:"):
            return "/p:" + MASK
        if self._flags == "login" and word.startswith(("-u", "-U")) and len(word) > 2:
            return word[:2] + _mask_login(word[2:])
        login = _LOGIN_FLAG.match(word) if self._flags == "login" else None
        if login:
            return login[0] + _mask_login(word[login.end() :])
        if self._flags == "login" and word in ("-u", "--user", "-U", "--proxy-user"):
            self._next_is_login = True
            return word
        if _SETTING.match(word) and is_secret_name(word, assigned=False):
            # ``aws configure set aws_secret_access_key x``, and ``password = x`` in a script.
            self._next_is_secret = "_" in word or "-" in word
            self._next_is_assigned = True
            return word
        if not word.startswith("-"):
            self._note_program(word)
        return _mask_inner(word)

    def _is_short_secret(self, word: str) -> bool:
        return (
            self._flags not in ("", "login")
            and len(word) >= 2
            and word[0] == "-"
            and word[1] in self._flags
        )

    def _note_program(self, word: str) -> None:
        name = word.rpartition("/")[2].strip("\"'")
        if name == "login":
            self._flags = _LOGIN_FLAGS
            return
        flags = password_flags(name)
        if flags:
            self._flags = flags
            return
        if name.startswith(_LOGIN_PROGRAMS):
            self._flags = "login"

    def _open_quote(self, value: str) -> None:
        """Remember a quote that the value opens and does not close."""
        first = value[:1]
        if first in ("'", '"') and first and value.count(first) == 1:
            self._quote = first

    def _mask_known(self, text: str) -> str:
        """What is a secret by its own look, whatever stands before it."""
        text = _HEADER.sub(_mask_header, text)
        text = _BEARER.sub(rf"\1\2{MASK}", text)
        if "://" in text:
            text = _RUN.sub(lambda run: _mask_url(run[0], cut=self._cut), text)
        return _LOOKS_SECRET.sub(MASK, text)


def _mask_inner(word: str) -> str:
    """A word in which a secret may be named anywhere: a query, a list of settings, JSON."""
    shown, at = "", 0
    for named in _INNER.finditer(word):
        if named.start() < at or not is_secret_name(named[1], assigned=True):
            continue
        value = _INNER_VALUE.match(word, named.end())
        if value:
            shown += word[at : named.end()] + MASK
            at = value.end()
    return shown + word[at:]


def _mask_header(found: re.Match[str]) -> str:
    name = found[1].lower()
    if name.startswith("x-") and not is_secret_name(name, assigned=True):
        return found[0]
    return found[1] + found[2] + MASK


def _mask_url(run: str, *, cut: bool) -> str:
    """A run of text with the password of the URL in it masked.

    A password may itself hold an @ or a slash, so the last @ ends it; in a text that was cut
    the @ may have been lost.
    """
    end = run.rfind("@")
    if end < 0:
        if not cut:
            return run
        end = len(run)
    for user in _URL_USER.finditer(run):
        if user.end() < end and not _URL_PORT.match(run, user.end()):
            return run[: user.end()] + MASK + run[end:]
    return run


def _mask_login(argument: str) -> str:
    """``user:password`` or ``user%password`` with the password masked."""
    for mark in ":%":
        user, found, secret = argument.partition(mark)
        if found and secret:
            return user + found + MASK
    return argument
