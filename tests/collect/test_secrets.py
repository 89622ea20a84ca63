"""Command lines.  Every name finishes the sentence "it must be that …"."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.collect.secrets import LONGEST_SHOWN_BYTES, command_line

MASKED = [
    # long options, by =, : or the next argument
    (["app", "--password=hunter2"], "app --password=***"),
    (["app", "--password", "hunter2", "-v"], "app --password *** -v"),
    (["app", "--PASSWORD", "hunter2"], "app --PASSWORD ***"),
    (["app", "--Password:hunter2"], "app --Password:***"),
    (["app", "--password=two words", "x"], "app --password=*** x"),
    (["app", "--password", "two words", "x"], "app --password *** x"),
    (["app", "--password", "-hunter2"], "app --password ***"),
    (["app", "-password", "hunter2"], "app -password ***"),
    (["app", "--db-password=a=b,c;d&e"], "app --db-password=***"),
    (["app", "--token", "abc"], "app --token ***"),
    (["app", "--api-key", "abc"], "app --api-key ***"),
    (["app", "--api_key=abc"], "app --api_key=***"),
    (["app", "--apikey=abc"], "app --apikey=***"),
    (["app", "--secret", "abc"], "app --secret ***"),
    (["app", "--client-secret=abc"], "app --client-secret=***"),
    (["app", "--auth", "me:abc"], "app --auth ***"),
    (["app", "--auth=abc"], "app --auth=***"),
    (["app", "--access-token=abc"], "app --access-token=***"),
    (["app", "--passphrase", "abc"], "app --passphrase ***"),
    (["app", "--requirepass", "abc"], "app --requirepass ***"),
    # variables
    (["env", "API_KEY=abc", "app"], "env API_KEY=*** app"),
    (["env", "STRIPE_KEY=abc", "app"], "env STRIPE_KEY=*** app"),
    (["env", "PGPASSWORD=abc", "psql"], "env PGPASSWORD=*** psql"),
    (["env", "MYSQL_PASSWORD_PROD=abc"], "env MYSQL_PASSWORD_PROD=***"),
    (["env", "AWS_SECRET_ACCESS_KEY=ab/c+d"], "env AWS_SECRET_ACCESS_KEY=***"),
    (["docker", "run", "-e", "DB_PASSWORD=abc", "x"], "docker run -e DB_PASSWORD=*** x"),
    (["docker", "run", "-eDB_PASSWORD=abc", "x"], "docker run -eDB_PASSWORD=*** x"),
    # other programs' ways
    (["java", "-Ddb.password=abc", "Main"], "java -Ddb.password=*** Main"),
    (["java", "-Djavax.net.ssl.keyStorePassword=abc"], "java -Djavax.net.ssl.keyStorePassword=***"),
    (["mysql", "-uroot", "-phunter2"], "mysql -uroot -p***"),
    (["mysql", "-uroot", "-p", "hunter2"], "mysql -uroot -p ***"),
    (["/usr/bin/mysqldump", "-ph$nter2!", "db"], "/usr/bin/mysqldump -p*** db"),
    (["sudo", "mariadb", "-phunter2"], "sudo mariadb -p***"),
    (["sshpass", "-phunter2", "ssh", "h"], "sshpass -p*** ssh h"),
    (["sshpass", "-p", "hunter2", "ssh", "h"], "sshpass -p *** ssh h"),
    (["redis-cli", "-a", "abc", "ping"], "redis-cli -a *** ping"),
    (["ldapsearch", "-D", "cn=x", "-w", "abc"], "ldapsearch -D cn=x -w ***"),
    (["docker", "login", "-u", "me", "-p", "abc", "hub"], "docker login -u me -p *** hub"),
    (["curl", "-u", "me:abc", "http://h"], "curl -u me:*** http://h"),
    (["curl", "--user", "me:abc", "http://h"], "curl --user me:*** http://h"),
    (["curl", "--user=me:abc", "http://h"], "curl --user=me:*** http://h"),
    (["curl", "--proxy-user=me:abc", "h"], "curl --proxy-user=me:*** h"),
    (["curl", "-ume:abc", "http://h"], "curl -ume:*** http://h"),
    (["smbclient", "-U", "me%abc", "//h/s"], "smbclient -U me%*** //h/s"),
    (["xfreerdp", "/u:me", "/p:abc", "/v:h"], "xfreerdp /u:me /p:*** /v:h"),
    (["openssl", "enc", "-passin", "pass:abc"], "openssl enc -passin pass:***"),
    # URLs, headers, looks
    (["app", "postgres://me:abc@db:5432/x"], "app postgres://me:***@db:5432/x"),
    (["app", "redis://:abc@db/0"], "app redis://:***@db/0"),
    (["app", "amqp://me:p@ss@mq"], "app amqp://me:***@mq"),
    (["app", "amqp://me:p/ss@mq"], "app amqp://me:***@mq"),
    (["app", "--url=https://me:abc@h/"], "app --url=https://me:***@h/"),
    (["app", "https://h/x?token=abc&page=2"], "app https://h/x?token=***&page=2"),
    (["curl", "-H", "Authorization: Bearer abc.def"], "curl -H Authorization: ***"),
    (["curl", "-H", "authorization:Basic YWJj"], "curl -H authorization:***"),
    (["curl", "-H", "X-Api-Key: abc"], "curl -H X-Api-Key: ***"),
    (["curl", "-H", "Cookie: session=abc; a=b"], "curl -H Cookie: ***"),
    (["app", "Bearer", "x", "Bearer abcdef123456"], "app Bearer x Bearer ***"),
    (["app", "AKIAIOSFODNN7EXAMPLE"], "app ***"),
    (["app", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.c2ln"], "app ***"),
    (["git", "clone", "https://ghp_0123456789abcdefABCD@h/x"], "git clone https://***@h/x"),
    (["app", "agt_0123456789abcdef0123"], "app ***"),
    (["app", '{"user":"me","password":"abc"}'], 'app {"user":"me","password":"***"}'),
    (["app", "Server=h;Password=abc;Db=x"], "app Server=h;Password=***;Db=x"),
    (["app", "host=h password=abc dbname=x"], "app host=h password=*** dbname=x"),
    # a script, or a title a program gave itself
    (["sh", "-c", "mysql -phunter2 db"], "sh -c mysql -p*** db"),
    (["sh", "-c", "app --password hunter2 x"], "sh -c app --password *** x"),
    (["sh", "-c", "app --password='a b c' x"], "sh -c app --password=*** *** *** x"),
    (["sh", "-c", 'app --password "a b" x'], "sh -c app --password *** *** x"),
    (["sh", "-c", "X=1 API_KEY=abc app"], "sh -c X=1 API_KEY=*** app"),
    (["sh", "-c", "curl -H 'Authorization: Bearer a' h"], "sh -c curl -H 'Authorization: ***' h"),
    (["bash", "-c", "PGPASSWORD='a b' psql"], "bash -c PGPASSWORD=***"),
    (["bash", "-lc", "x && sshpass -p a ssh h"], "bash -lc x && sshpass -p *** ssh h"),
    (["curl", "-H", "X-Vault-Token: s.abc", "h"], "curl -H X-Vault-Token: *** h"),
    (["curl", "--header=Authorization: Bearer abc"], "curl --header=Authorization: ***"),
    (["app", "-c", "a://u:p@h,b://u:q@i"], "app -c a://u:***@i"),
    (["app", "--jwt=abc"], "app --jwt=***"),
    (["sh", "-c", "export DB_PASS = abc; run"], "sh -c export DB_PASS = *** run"),
    (["app", "password", "=", "abc", "x"], "app password = *** x"),
    (
        ["aws", "configure", "set", "aws_secret_access_key", "abc"],
        "aws configure set aws_secret_access_key ***",
    ),
    (["wg", "set", "wg0", "private-key", "abc"], "wg set wg0 private-key ***"),
    (["ipmitool", "-U", "root", "-P", "abc", "power"], "ipmitool -U root -P *** power"),
    (["7z", "a", "-pabc", "x.7z"], "7z a -p*** x.7z"),
    (["curl", "https://hooks.slack.com/services/T0/B0/abc"], "curl https://***"),
    (["app", "Password=a;Token=b"], "app Password=***"),
    (["app", "user=a;Password=b;Token=c"], "app user=a;Password=***;Token=***"),
    (["app worker --token abc --port 1"], "app worker --token *** --port 1"),
]

UNTOUCHED = [
    "ftp --passive host",
    "token-server --port 80",
    "sshd: root@pts/0",
    "sshd: root [priv]",
    "nginx: master process /usr/sbin/nginx -g daemon off;",
    "postgres: writer process",
    "app --password-file /run/secrets/db",
    "app --password-file=/run/secrets/db",
    "app --token-ttl 5m",
    "app --max-tokens 4096",
    "app --tokenizer=bpe",
    "app --author me",
    "app --authority=x",
    "app --no-auth --port 1",
    "mongod --auth --port 27017",
    "app --no-password host",
    "docker login --password-stdin hub",
    "psql -p 5432 -h db",
    "ssh -p 22 host",
    "ssh mysql-1 -p 22",
    "ffprobe --auth-required",
    "az account get-access-token --resource x",
    "pass show web",
    "change password now",
    "app --secrets-dir /run/secrets",
    "systemd --switched-root --system --deserialize=31",
    "app --log-level=info --http-port:80",
    "ssh-agent -a /tmp/agent",
    "dovecot/auth worker",
    "cp -p from to",
    "docker run -p 80:80 web",
    "app --key=/etc/tls/key.pem",
    "app --keyboard de",
    "make PWD=/srv",
    "secret-tool lookup a b",
    "gnome-keyring-daemon --components=secrets",
    "/usr/lib/dovecot/auth -w",
    "http://host:8080/a@b",
    "app http://host:8080",
    "git clone git@github.com:me/x",
    "rsync -a me@host:/srv/ /srv/",
    "app compass bypass",
    "python -m pass_the_ball",
    "basic training",
    "curl -u me http://h",
    "redis-server *:6379",
    "bash",
    "",
]


@pytest.mark.parametrize(("arguments", "shown"), MASKED)
def test_the_value_of_a_secret_is_masked(arguments: list[str], shown: str) -> None:
    raw = b"".join(argument.encode() + b"\0" for argument in arguments)
    assert command_line(raw) == shown


@pytest.mark.parametrize("text", UNTOUCHED)
def test_what_is_no_secret_is_shown(text: str) -> None:
    assert command_line(text.replace(" ", "\0").encode() + b"\0") == text
    assert command_line(text.encode() + b"\0\0\0") == text


def test_control_characters_are_escaped() -> None:
    raw = "app\0\x1b[31mred\n\0\u202eevil\0\x7f".encode()
    assert command_line(raw) == r"app \x1b[31mred\n \u202eevil \x7f"


def test_invalid_text_is_shown_escaped() -> None:
    assert command_line(b"app\0\xff\xfe\0caf\xc3\xa9") == r"app \xff\xfe café"


def test_no_more_than_256_bytes_are_shown() -> None:
    shown = command_line(("é" * 4000).encode())
    assert len(shown.encode()) <= LONGEST_SHOWN_BYTES
    assert shown.endswith("é…")


def test_a_secret_that_the_cut_falls_into_is_masked_all_the_same() -> None:
    assert "hunter" not in command_line(b"app\0--password\0" + b"hunter" * 2000)
    assert "hunter" not in command_line(b"app\0https://me:" + b"hunter" * 2000 + b"@h")
    assert "hunter" not in command_line(b"app\0--password=" + b"hunter" * 2000)


@given(st.binary(max_size=600))
def test_whatever_it_is_the_text_is_short_and_printable(raw: bytes) -> None:
    shown = command_line(raw)
    assert len(shown.encode()) <= LONGEST_SHOWN_BYTES
    assert shown.isprintable()


WORDS = st.lists(
    st.text(alphabet="abcdefgh-=:/'\"@ .,\t_X7", min_size=1, max_size=8).filter(
        lambda word: "--" not in word
    ),
    max_size=4,
)


@given(
    WORDS,
    st.sampled_from(
        ["--password={}", "--db-password={}", "API_KEY={}", "-Dx.secret={}", "x://u:{}@h", "{}"]
    ),
)
def test_whatever_stands_before_it_a_secret_is_masked(words: list[str], form: str) -> None:
    secret = "eyJhbGciOiJIUzI1NiJ9" if form == "{}" else "hunter2"
    raw = "\0".join([*words, form.format(secret)]).encode()
    assert secret not in command_line(raw)


@pytest.mark.parametrize(
    "piece",
    [b"a", b"\0", b" ", b"-", b"=", b"://", b"://a:", b"a@", b"x-", b"'", b'"', b"\xff", b"eyJ",
     b"bearer ", b"--password ", b"authorization:", b"a=", b"A_", b"sk-", b"1", b"basic\t", b"\\"],
)  # fmt: skip
def test_a_hostile_command_line_of_a_megabyte_costs_little(piece: bytes) -> None:
    raw = piece * (1_048_576 // len(piece))
    began = time.thread_time()
    shown = command_line(raw)
    assert time.thread_time() - began < 0.05
    assert len(shown.encode()) <= LONGEST_SHOWN_BYTES
    assert shown.isprintable()
