"""Links, addresses, pages of video sites and wheels: what is downloaded, and what is refused."""

import contextlib
import socket
import sys
import threading
import time

import pytest
import yt_dlp.utils
from conftest import until
from film_server import OPEN, Handler

from reelward.runtime import download, files, sites
from reelward.runtime.download import bring, link, page, public_address
from reelward.runtime.errors import InputError, NetworkError, ResourceError, StageError, VideoError
from reelward.runtime.limits import Limits, run_within

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
        ("chunks", 5, "larger than max_mb = 1"),
        ("negative", 4, "try again"),
        ("headers", 4, "got more than 100 headers"),
        ("longline", 4, "header line"),
        ("noise", 4, "try again"),
        ("gopher", 4, "expected a plain http"),
        ("malformed", 4, "malformed"),
        ("password", 4, "without a user name"),
        ("escape", 4, "HTTP 599"),
        ("zipped", 4, "compressed"),
    ],
)
def test_a_bad_answer_is_one_line_with_its_code(server, tmp_path, path, code, line):
    with pytest.raises(StageError, match=line) as e:
        link(f"{server}/{path}", tmp_path / "got", OPEN)
    assert e.value.code == code and str(e.value).isprintable() and "secret" not in str(e.value)


def test_a_length_over_the_cap_is_refused_before_it_comes(server, tmp_path):
    with pytest.raises(ResourceError, match="larger than max_mb"):
        link(f"{server}/clip.mp4", tmp_path / "got", Limits(bytes=100, private=True))
    assert (tmp_path / "got").stat().st_size == 0


@pytest.mark.parametrize("path", ["drip", "mute", "waiting"])
def test_a_slow_answer_is_cut(server, tmp_path, path):
    begun = time.monotonic()
    with pytest.raises(NetworkError, match="took more than 1 s"):
        link(f"{server}/{path}", tmp_path / "got", Limits(10_000, seconds=0.6, private=True))
    assert time.monotonic() - begun < 30, "the server would have ended it"


def test_a_handshake_that_drips_is_cut(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"\x16\x03\x03\x3f\xff")  # a record of 16 kB begins
                for _ in range(600):
                    connection.sendall(b"\x02")
                    time.sleep(0.1)

        threading.Thread(target=drip, daemon=True).start()
        begun = time.monotonic()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/a.mp4"
        with pytest.raises(NetworkError, match="took more than 1 s"):
            link(url, tmp_path / "got", Limits(10_000, seconds=0.6, private=True))
    assert time.monotonic() - begun < 30, "the server would have ended it"


def test_nobody_there_is_code_4(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(NetworkError, match="refused.*give the file"):
        link(f"http://127.0.0.1:{port}/a.mp4", tmp_path / "got", OPEN)


@pytest.mark.parametrize(
    "source",
    [
        "ftp://example.org/a.mp4",
        "gopher://127.0.0.1:70/_x",
        "file:///etc/passwd",
        "data://text/plain,x",
        "http://",
        "http:",
        "http:///a.mp4",
        "http://user:secret@example.org/a.mp4",
        "http://user:secret@www.youtube.com/watch?v=x",
        "https://example.org\\@127.0.0.1/a.mp4",
        "http://[::1",
        "http://[::1]x/a.mp4",
        "http://[v1.x]/a.mp4",
        "http://127.0.0.1:99999/a.mp4",
        "http://127.0.0.1:-1/a.mp4",
        "http://127.0.0.1:port/a.mp4",
        "http://a..b/a.mp4",
        f"http://{'a' * 64}.org/a.mp4",
        "http://a b/a.mp4",
        "http://\u2100.example.org/a.mp4",
        f"http://127.0.0.1/{'a' * 5000}",
        "pypi:sports2d/demo.mp4",
        "pypi:sports2d==1.0",
        "pypi:-r==1/x",
        "pypi:--index-url=x==1/x",
        "pypi:a b==1/x",
        "pypi:a==1 --pre/x",
        "pypi:a==one/x",
        "pypi:a==1/../x",
        "pypi:a==1//etc/passwd",
        "pypi:a==1/x\ny",
    ],
)
def test_a_malformed_source_is_one_line_without_its_password(tmp_path, source):
    with pytest.raises(InputError, match="expected") as e:
        bring(source, tmp_path / "got", OPEN)
    text = str(e.value)
    assert text.isprintable() and "secret" not in text and len(text) < 500
    assert not (tmp_path / "got").exists()


@pytest.mark.parametrize(
    "source", ["~nobody-of-this-name/a", "a\0b", "a" * 5000, "/", "\x1b[2J", ""]
)
def test_a_path_that_is_no_file_is_one_line(tmp_path, source):
    with pytest.raises(VideoError, match="expected a file, found none") as e:
        bring(source, tmp_path / "got", OPEN)
    assert str(e.value).isprintable()


@pytest.mark.parametrize(
    "path", ["a b.mp4", "Läufer.mp4", "a\r\nHost: x.mp4", "100%.mp4", "a.mp4#x"]
)
def test_a_link_is_encoded_as_browsers_do(server, clip, tmp_path, path):
    about = bring(f"{server}/{path}?signature=secret", tmp_path / "got", OPEN)
    assert files.digest(tmp_path / "got") == files.digest(clip)
    assert about["source"].isascii() and "secret" not in about["source"]


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
        "0x7f.1",
        "0177.0.0.1",
        "192.0.0.100",
        "192.88.99.1",
        "198.18.0.1",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b:1::7f00:1",
        "2001:0:7f00:1::",
        "2606:4700::5efe:7f00:1",
        "2606:4700::200:5efe:7f00:1",
        "fec0::1",
        "5f00::1",
        "3fff::1",
        "4000::1",
        "100::1",
    ],
)
def test_an_address_that_is_not_public_is_refused(address):
    with pytest.raises(NetworkError, match="not a public one"):
        public_address(address, 80)


@pytest.mark.parametrize(
    "address",
    ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::5db8:d70e"],
)
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


def test_a_page_may_have_a_long_video_but_no_live_one():
    filters = [o.partition("=")[2] for o in sites.OPTIONS if o.startswith("--match-filters=")]
    passes = yt_dlp.utils.match_filter_func(filters, None)
    assert passes({"id": "a", "duration": 7200, "is_live": False}) is None
    assert "does not pass filter" in str(passes({"id": "a", "is_live": True}))


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


@pytest.mark.parametrize(
    "path, limits, error",
    [
        ("drip.mp4", Limits(1_000_000, seconds=1.0), "took more than 1 s"),
        ("list.m3u8", Limits(1_000_000, seconds=60.0), "larger than max_mb = 1"),
    ],
)
def test_a_page_has_limits_that_yt_dlp_does_not_keep(server, tmp_path, path, limits, error):
    begun = time.monotonic()
    with pytest.raises(StageError, match=error):
        page(f"{server}/{path}", "generic", tmp_path / "got", limits)
    assert time.monotonic() - begun < 30, "the server would have ended it"
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_downloads_has_no_secrets_and_leaves_no_process(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    monkeypatch.setenv("REELWARD_CRITIC_KEY", "canary")
    code = "import os, subprocess, time; p = subprocess.Popen(['sleep', '60']); print(os.environ, p.pid)"
    done = run_within([sys.executable, "-c", code], tmp_path, OPEN, "a program")
    assert done.returncode == 0 and "canary" not in done.stdout and "PATH" in done.stdout
    assert until(lambda: not files.started(int(done.stdout.split()[-1])))
