"""What `make check` refuses beyond the linters: it must be that ..."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import check_sources


def faults(root: Path, path: str, text: str) -> list[str]:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return [what for _, what in check_sources.faults_of(root, path)]


@pytest.mark.parametrize(
    "text",
    [
        "node.innerHTML = text;",
        "node.outerHTML=''",
        "node.insertAdjacentHTML('beforeend', text)",
        "document.write(text)",
        "document . writeln(text)",
        "eval(text)",
        "const made = new Function('return 1');",
        "const made = Function('return 1');",
        "frame.srcdoc = text;",
        "setTimeout('go()', 10)",
        "import x from 'https://somewhere.example/x.js';",
        "new DOMParser().parseFromString(text, 'text/html')",
    ],
)
def test_script_that_makes_markup_or_code_from_text_is_refused(tmp_path: Path, text: str) -> None:
    assert faults(tmp_path, "static/js/live.js", text)


@pytest.mark.parametrize(
    "text",
    [
        "node.textContent = text;",
        "setTimeout(() => go(), 10); retrieval(x); this.eval(x);",
        "import uPlot from '/static/vendor/uplot/uPlot.esm.js';",
        "document.createElement('p').append(text)",
    ],
)
def test_plain_script_passes(tmp_path: Path, text: str) -> None:
    assert faults(tmp_path, "static/js/live.js", text) == []


@pytest.mark.parametrize(
    "text",
    [
        "<style>p { color: red }</style>",
        '<p class="x"\n   style="color: red">',
        '<button onclick="go()">',
        "<script>go()</script>",
        '<script type="module">go()</script>',
        '<a href="javascript:go()">',
        '<script src="https://somewhere.example/x.js"></script>',
        '<link rel="stylesheet" href="//somewhere.example/x.css">',
        "{{ text | safe }}",
    ],
)
def test_a_template_that_the_content_policy_would_break_is_refused(
    tmp_path: Path, text: str
) -> None:
    assert faults(tmp_path, "templates/host.html", text)


@pytest.mark.parametrize(
    "text",
    [
        '<script type="module" src="/static/js/live.js"></script>',
        '<script type="application/json" id="state">{{ state|tojson }}</script>',
        '<link rel="stylesheet" href="/static/css/page.css">',
        '<p data-once="1">on = 1</p>',
    ],
)
def test_a_template_that_only_prints_passes(tmp_path: Path, text: str) -> None:
    assert faults(tmp_path, "templates/host.html", text) == []


def test_the_line_of_a_fault_is_the_line_of_its_beginning(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "a.html").write_text('<p>\n</p>\n<p\n style="x">\n')
    found = list(check_sources.faults_of(tmp_path, "templates/a.html"))
    assert found == [(3, "has a style attribute")]


def test_a_registry_is_refused_in_any_text_file(tmp_path: Path) -> None:
    host = check_sources.REGISTRIES[0].replace("|", "")
    assert faults(tmp_path, "docs/install.md", f"see {host}") == ["names a package registry's host"]


def test_a_picture_is_not_read_as_text(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    assert list(check_sources.faults_of(tmp_path, "a.png")) == []


def test_a_lock_of_npm_has_hashes_and_no_address(tmp_path: Path) -> None:
    good = '{"packages": {"": {}, "node_modules/a": {"version": "1.0.0", "integrity": "sha512-x"}}}'
    assert faults(tmp_path, "package-lock.json", good) == []
    assert faults(tmp_path, "package-lock.json", good.replace("integrity", "resolved")) == [
        "node_modules/a carries an address",
        "node_modules/a has no hash",
    ]


def test_a_lock_of_pip_has_hashes_and_no_address(tmp_path: Path) -> None:
    good = "# made\na==1 ; python_version < '3.12' \\\n    --hash=sha256:00\n    # via b\n"
    assert faults(tmp_path, "requirements.lock", good) == []
    assert faults(tmp_path, "requirements.lock", "a==1\nb==2 \\\n    --hash=sha256:00\n") == [
        "has no hash"
    ]
    assert faults(tmp_path, "requirements.lock", "--extra-index-url x\n" + good) == [
        "has an address or an option"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "subprocess.run(command, shell=True)",
        "import pickle\n",
        "yaml.load(text)",
        "Environment(autoescape=False)",
        "context.verify_mode = ssl.CERT_NONE",
        "httpx2.get(url, verify=False)",
    ],
)
def test_dangerous_python_of_ours_is_refused(tmp_path: Path, text: str) -> None:
    assert faults(tmp_path, "tools/x.py", text)
    assert faults(tmp_path, "tests/x.py", text) == []


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("mode = ssl.CERT_NONE  # allowed: its digest is compared with the pin", True),
        ("mode = ssl.CERT_NONE  # allowed:", False),
        ("mode = ssl.CERT_NONE  # allowed: yes", False),
        ("# allowed: its digest is compared with the pin\nmode = ssl.CERT_NONE", False),
        ("a = ssl.CERT_NONE  # allowed: its digest is compared\nb = ssl.CERT_NONE", False),
    ],
)
def test_a_line_that_is_right_all_the_same_says_why(
    tmp_path: Path, text: str, passes: bool
) -> None:
    assert (faults(tmp_path, "monitor/x.py", text) == []) is passes
    assert faults(tmp_path, "static/js/x.js", "x.innerHTML = y; // # allowed: it is our own text")


@pytest.mark.parametrize("text", ["{% autoescape false %}", "{{ Markup(name) }}", "{{ a | safe }}"])
def test_a_template_that_does_not_escape_is_refused(tmp_path: Path, text: str) -> None:
    assert faults(tmp_path, "templates/host.html", text)
