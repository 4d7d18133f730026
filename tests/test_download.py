"""Links, addresses, pages of video sites and wheels: what is downloaded, and what is refused."""

import socket
import time
from pathlib import Path

import pytest
from film_server import Handler, film, serving

from reelward.runtime import download, files
from reelward.runtime.download import Limits, bring, link, page, public_address
from reelward.runtime.errors import InputError, NetworkError, ResourceError, StageError

OPEN = Limits(bytes=1_000_000, seconds=60.0, private=True)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    path.write_bytes(film())
    return path


@pytest.fixture(scope="module")
def server(clip):
    with serving(clip.read_bytes()) as url:
        yield url


# --- links


@pytest.mark.parametrize(
    "path, code, line",
    [
        ("html", 3, "got a web page"),
        ("missing", 4, "HTTP 404"),
        ("round", 4, "more than 5 redirects"),
        ("elsewhere", 4, "expected a plain http"),
        ("truncated", 4, "cut off after"),
        ("endless", 5, "larger than max_mb = 1"),
    ],
)
def test_a_bad_answer_is_one_line_with_its_code(server, tmp_path, path, code, line):
    with pytest.raises(StageError, match=line) as e:
        link(f"{server}/{path}", tmp_path / "got", OPEN)
    assert e.value.code == code and "\n" not in str(e.value)


def test_a_length_over_the_cap_is_refused_before_it_comes(server, tmp_path):
    with pytest.raises(ResourceError, match="larger than max_mb"):
        link(f"{server}/clip.mp4", tmp_path / "got", Limits(bytes=100, private=True))
    assert (tmp_path / "got").stat().st_size == 0


@pytest.mark.parametrize("path", ["drip", "mute"])
def test_a_slow_answer_is_cut(server, tmp_path, path):
    begun = time.monotonic()
    with pytest.raises(NetworkError, match="took more than 1 s"):
        link(f"{server}/{path}", tmp_path / "got", Limits(10_000, seconds=0.6, private=True))
    assert time.monotonic() - begun < 30, "the server would have ended it"


def test_nobody_there_is_code_4(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(NetworkError, match="refused.*give the file"):
        link(f"http://127.0.0.1:{port}/a.mp4", tmp_path / "got", OPEN)


@pytest.mark.parametrize(
    "source, error",
    [
        ("ftp://example.org/a.mp4", InputError),
        ("pypi:sports2d/demo.mp4", InputError),
        ("http://user:secret@example.org/a.mp4", NetworkError),
        ("http://", NetworkError),
        ("http://127.0.0.1:99999/a.mp4", NetworkError),
        ("http://127.0.0.1/a b\r\n.mp4", NetworkError),
    ],
)
def test_a_malformed_source_is_refused(tmp_path, source, error):
    with pytest.raises(error):
        bring(source, tmp_path / "got", OPEN)


# --- addresses


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2130706433",
    ],
)
def test_an_address_that_is_not_public_is_refused(address):
    with pytest.raises(NetworkError, match="not a public one"):
        public_address(address, 80)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
def test_a_public_address_is_the_one_to_connect_to(address):
    assert public_address(address, 443) == address


def test_one_private_address_among_public_ones_is_enough(monkeypatch):
    answers(monkeypatch, ["93.184.215.14", "10.0.0.1"])
    with pytest.raises(NetworkError, match="10.0.0.1"):
        public_address("two.example", 80)


def answers(monkeypatch, *rounds: list[str]) -> None:
    """The name server's answers, one list a look-up; the last one goes on."""
    left = list(rounds)

    def look_up(host, port, *_, **__):
        addresses = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def test_a_redirect_to_loopback_is_refused(server, tmp_path, monkeypatch):
    # The first host passes as public and is connected to the test's server, the second does not.
    real = public_address
    seen = []

    def first_passes(host, port, private):
        seen.append(host)
        return "127.0.0.1" if len(seen) == 1 else real(host, port, private)

    monkeypatch.setattr(download, "public_address", first_passes)
    port = server.rpartition(":")[2]
    monkeypatch.setattr(Handler, "move", move_to_loopback)
    with pytest.raises(NetworkError, match="localhost has the address"):
        link(f"http://public.example:{port}/moved", tmp_path / "got", Limits(1_000_000))
    assert seen == ["public.example", "localhost"]


def move_to_loopback(self: Handler, _: str) -> None:
    self.send_response(302)
    self.send_header("Location", "http://localhost/clip.mp4")
    self.end_headers()


def test_a_name_that_answers_differently_the_second_time_is_connected_to_the_first(
    tmp_path, monkeypatch
):
    answers(monkeypatch, ["93.184.215.14"], ["127.0.0.1"])
    reached = []

    def connect(address, *_):
        reached.append(address)
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(NetworkError):
        link("http://rebound.example/a.mp4", tmp_path / "got", Limits(1000))
    assert reached == [("93.184.215.14", 80)]


# --- pages


def test_a_page_of_no_named_site_never_reaches_the_generic_extractor(server, tmp_path):
    with pytest.raises(NetworkError, match="not a page of a video"):
        page(f"{server}/clip.mp4", "youtube", tmp_path / "got", OPEN)


def test_what_yt_dlp_leaves_out_in_silence_is_an_error(server, clip, tmp_path):
    with pytest.raises(NetworkError, match="larger than max_mb"):
        page(f"{server}/clip.mp4", "generic", tmp_path / "got", Limits(bytes=100))
    about = page(f"{server}/clip.mp4", "generic", tmp_path / "got", OPEN)
    assert files.digest(tmp_path / "got") == files.digest(clip)
    assert about["title"] == "clip" and "licence" not in about  # the user's to say


@pytest.mark.parametrize(
    "url, site",
    [
        ("https://www.youtube.com/watch?v=x", "youtube"),
        ("https://youtu.be/x", "youtube"),
        ("https://vimeo.com/1", "vimeo"),
        ("https://youtube.com.example.org/x.mp4", None),
        ("https://notyoutube.com/x.mp4", None),
    ],
)
def test_only_named_sites_go_to_yt_dlp(monkeypatch, tmp_path, url, site):
    went = []
    monkeypatch.setattr(download, "page", lambda u, extractor, *_: went.append(extractor) or {})
    monkeypatch.setattr(download, "link", lambda *_: went.append(None))
    bring(url, tmp_path / "got", OPEN)
    assert went == [site]
