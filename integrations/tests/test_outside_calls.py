"""Calls to addresses that people enter: never inward, in whatever spelling, and never for longer than they may take."""

import socket
import time

import pytest
from structlog.testing import capture_logs

from integrations.outside import calls
from integrations.outside.calls import KEPT_BYTES, CallError, ForbiddenAddressError, check, post
from integrations.outside.targets import BadTargetError, read_target

# Each is an address that no setting of this test allows; names are resolved by the table below.
FORBIDDEN = (
    "127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "2130706433", "0x7f000001", "0x7f.1", "0x7f.0.0.1",
    "017700000001", "0177.0.0.1", "0", "0.0.0.0", "localhost", "LOCALHOST", "localhost.", "127.0.0.1.",
    "①②⑦.⓪.⓪.①", "127。0。0。1", "[::1]", "[0:0:0:0:0:0:0:1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[fe80::1]", "[fec0::1]",
    "[fd00:ec2::254]", "[fc00::1]", "[ff02::1]", "169.254.169.254", "2852039166", "0xa9fea9fe", "[::ffff:a9fe:a9fe]",
    "100.100.100.200", "168.63.129.16", "192.0.0.192", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1",
    "198.18.0.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "inner.example", "v6.example",
    "metadata.example",
)  # fmt: skip
NAMES = {
    "inner.example": ("10.1.2.3", "127.0.0.1"),
    "v6.example": ("::1", "::ffff:127.0.0.1"),
    "metadata.example": ("169.254.169.254",),
}
BAD_TARGETS = (
    "", "example.com/hook", "ftp://example.com/", "file:///etc/passwd", "gopher://127.0.0.1:6379/_", "http://",
    "http://user:word@example.com/", "http://example.com#@127.0.0.1/", "http://example.com:0/", "http://e.com:99999/",
    "http://example.com\\@127.0.0.1/", "http://exa mple.com/", "http://example.com/\r\nX: y", "http://[fe80::1%25eth0]/",
    "http://[::1/", "http://.../", "https://example.com/ä", "https://example.com/" + "a" * 2000,
)  # fmt: skip

resolve = socket.getaddrinfo


@pytest.fixture
def names(monkeypatch):
    """A resolver of ours for names below `example`; each address stands for itself."""
    asked = []

    def getaddrinfo(host, port, *args, **options):
        if not host.endswith("example"):
            return resolve(host, port, *args, **options)
        asked.append(host)
        return [row for address in NAMES[host] for row in resolve(address, port, *args, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_post__to_forbidden_addresses_in_any_spelling__reaches_none(receiver, names, settings):
    settings.WEBHOOK_ALLOWED_NETWORKS = []
    reached = []
    for host in FORBIDDEN:
        url = f"http://{host}:{receiver.port}/"
        for call in (lambda where: post(where, b"{}", {}), check):
            try:
                call(url)
            except (ForbiddenAddressError, BadTargetError):
                continue
            except CallError as error:
                # The platform's resolver may not know an odd spelling; then there is nothing to reach.
                if "DNS knows no host" in str(error):
                    continue
                reached.append(f"{host}: {error}")
            else:
                if call is not check:
                    reached.append(host)

    assert reached == []
    assert receiver.received == []
    assert len(FORBIDDEN) >= 40


@pytest.mark.parametrize("network", ["169.254.0.0/16", "224.0.0.0/4", "0.0.0.0/0"])
def test_post__whatever_a_setting_allows__never_to_metadata_or_many_at_once(network, settings):
    settings.WEBHOOK_ALLOWED_NETWORKS = [network]

    for host in ("169.254.169.254", "224.0.0.1", "0.0.0.0", "100.100.100.200"):
        with pytest.raises(ForbiddenAddressError):
            post(f"http://{host}/", b"", {})


def test_post__a_name_whose_address_changes_after_the_check__goes_where_it_was_checked(receiver, monkeypatch):
    answers = [["127.0.0.1"], ["10.0.0.1"]]
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda _host, port, **options: resolve(answers.pop(0)[0], port, **options)
    )

    assert post(f"http://rebind.example:{receiver.port}/", b"{}", {}).status == 200
    assert answers == [["10.0.0.1"]]
    assert receiver.received[0].headers["host"] == f"rebind.example:{receiver.port}"
    with pytest.raises(ForbiddenAddressError, match=r"rebind\.example has no public address") as refused:
        post(f"http://rebind.example:{receiver.port}/", b"{}", {})
    assert "10.0.0.1" not in str(refused.value)


def test_refusal__of_a_name__tells_the_operator_alone_where_it_leads(names):
    with capture_logs() as logs, pytest.raises(ForbiddenAddressError) as refused:
        check("http://metadata.example/")

    assert "169.254" not in str(refused.value)
    (line,) = [line for line in logs if line["event"] == "outside_call_refused"]
    assert (line["host"], line["why"][:15]) == ("metadata.example", "169.254.169.254")


def test_post__a_name_with_allowed_and_forbidden_addresses__goes_to_the_allowed_one(receiver, names):
    assert post(f"http://inner.example:{receiver.port}/", b"{}", {}).status == 200


def test_post__first_address_swallows_everything__the_second_has_its_share_of_the_time(receiver, monkeypatch):
    monkeypatch.setattr(calls, "SECONDS", 2.0)
    with socket.socket() as full, socket.socket() as one, socket.socket() as two:
        full.bind(("127.0.0.2", receiver.port))
        full.listen(0)
        # Nobody accepts, so that after these the kernel answers no more.
        for waiting in (one, two):
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        both = [row for address in ("127.0.0.2", "127.0.0.1") for row in resolve(address, receiver.port, type=1)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)

        assert post(f"http://both.example:{receiver.port}/", b"{}", {}).status == 200


def test_post__to_a_redirect__follows_it_not(receiver):
    receiver.behave = lambda _number, _path: "redirect"

    answer = post(f"{receiver.url}/hook?a=1", b'{"a":1}', {"X-One": "1"})

    assert (answer.status, answer.headers["location"]) == (302, f"{receiver.url}/inner")
    assert [(one.path, one.body, one.headers["x-one"]) for one in receiver.received] == [("/hook?a=1", b'{"a":1}', "1")]


@pytest.mark.parametrize("behaviour", ["hang", "drip"])
def test_post__to_somebody_who_does_not_end__gives_up_in_time(receiver, monkeypatch, behaviour):
    monkeypatch.setattr(calls, "SECONDS", 0.4)
    receiver.behave = lambda _number, _path: behaviour
    began = time.monotonic()

    with pytest.raises(CallError, match=r"within 0\.4 seconds"):
        post(receiver.url, b"", {})

    assert time.monotonic() - began < 10


def test_post__a_resolver_that_does_not_answer__gives_up_in_time(receiver, monkeypatch):
    monkeypatch.setattr(calls, "SECONDS", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: receiver.released.wait(30))

    with pytest.raises(CallError, match="No whole answer"):
        post("http://slow.example/", b"", {})


@pytest.mark.parametrize(("behaviour", "why"), [("garbage", "no HTTP"), ("close", "no HTTP")])
def test_post__an_answer_that_is_none__says_so(receiver, behaviour, why):
    receiver.behave = lambda _number, _path: behaviour

    with pytest.raises(CallError, match=why):
        post(receiver.url, b"", {})


def test_post__a_large_answer__is_kept_to_64_kib(receiver):
    receiver.behave = lambda _number, _path: "large"

    answer = post(receiver.url, b"", {})

    assert (len(answer.body), answer.is_cut) == (KEPT_BYTES, True)


def test_post__nobody_listens__says_so(receiver):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(CallError, match="Connection refused"):
            post(f"http://127.0.0.1:{free.getsockname()[1]}/", b"", {})


def test_targets__that_are_none__are_refused_in_words():
    for url in BAD_TARGETS:
        with pytest.raises(BadTargetError, match=r"^[A-Z].*\.$"):
            read_target(url)


def test_target__in_other_scripts__is_as_dns_has_it():
    target = read_target("https://bücher.example:8443/a?b=c")

    assert (target.host, target.port, target.path) == ("xn--bcher-kva.example", 8443, "/a?b=c")
    assert target.authority == "xn--bcher-kva.example:8443"


@pytest.mark.parametrize("host", ["169.254.169.254", "[fd00:ec2::254]", "[::ffff:a9fe:a9fe]", "[64:ff9b::a9fe:a9fe]"])
def test_post__for_an_operator__never_to_metadata_either(host):
    with pytest.raises(ForbiddenAddressError):
        post(f"http://{host}/", b"", {}, is_operators=True)
