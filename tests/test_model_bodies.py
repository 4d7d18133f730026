"""Errors in a 200, filters, and bodies of odd kinds."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from model_helpers import ANSWER, GOOD, ask
from scripted_server import Refusal, Server, complaint, completion

from reelward.models.chat import NoAnswer
from reelward.runtime.errors import InputError, NetworkError

pytest_plugins = ("model_fixtures",)
pytestmark = pytest.mark.usefixtures("project")


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        ({"message": "failed", "code": 429, "metadata": {"raw": "too many there"}}, 5),
        ({"message": "failed", "code": "502"}, 5),
        ("failed", 5),
        ({"message": "no such field", "type": "invalid_request_error"}, 1),
    ],
)
def test_an_error_in_a_200_is_a_refusal(
    replies: Callable[..., Server], error: Any, calls: int
) -> None:
    server = replies({"error": error})
    with pytest.raises((NetworkError, InputError), match="failed|no such field"):
        ask()
    assert len(server.calls) == calls
    choice = {"message": {"content": None}, "finish_reason": "error", "error": error}
    server = replies({"choices": [choice]}, completion(GOOD))
    if calls > 1:
        assert ask("Again?").model_dump() == ANSWER


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, complaint("held back by the content policy", code="content_filter")),
        (403, complaint("The input was flagged")),
        (
            400,
            complaint("Input data may contain inappropriate content", code="DataInspectionFailed"),
        ),
    ],
)
def test_a_prompt_that_a_filter_holds_back_is_lost_alone(
    replies: Callable[..., Server], status: int, body: Any
) -> None:
    server = replies(Refusal(status, body))
    with pytest.raises(NoAnswer, match="refused"):
        ask()
    assert len(server.calls) == 1


def packed(data: bytes, packing: str) -> Callable[[Any], None]:
    """A response that is packed although nobody asked for it."""

    def send(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("content-encoding", packing)
        handler.send_header("content-length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return send


WHOLE = json.dumps(completion(GOOD)).encode()


@pytest.mark.parametrize(
    ("data", "packing", "why"),
    [
        (gzip.compress(WHOLE), "gzip", None),
        (zlib.compress(WHOLE), "deflate", None),
        (gzip.compress(WHOLE)[:-20], "gzip", "packed answer that is cut off"),
        (WHOLE, "gzip", "an answer that is no gzip"),
        (WHOLE, "br", "an answer packed as br"),
        (gzip.compress(b" " * (9 << 20)), "gzip", "more than 4 MiB"),
    ],
)  # fmt: skip
def test_a_packed_answer_is_unpacked_within_limits(
    replies: Callable[..., Server], data: bytes, packing: str, why: str | None
) -> None:
    replies(packed(data, packing))
    if why is None:
        assert ask().model_dump() == ANSWER
    else:
        with pytest.raises(NetworkError, match=why):
            ask()


def cut(handler: Any) -> None:
    """A body that ends before its length."""
    handler.send_response(200)
    handler.send_header("content-length", "9999")
    handler.end_headers()
    handler.wfile.write(WHOLE)
    handler.close_connection = True


def test_a_body_that_is_cut_is_asked_for_again(replies: Callable[..., Server]) -> None:
    server = replies(cut, completion(GOOD))
    assert ask().model_dump() == ANSWER and len(server.calls) == 2


def old(handler: Any) -> None:
    """HTTP/1.0 as some gateways speak it: no length, and the end of the connection ends the body."""
    handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n   \n" + WHOLE)
    handler.close_connection = True


def chunked(handler: Any) -> None:
    """Spaces that keep the connection open, then the answer, in chunks."""
    handler.protocol_version = "HTTP/1.1"
    handler.send_response(200)
    handler.send_header("transfer-encoding", "chunked")
    handler.end_headers()
    for piece in (b"\n", b"\n", WHOLE[:40], WHOLE[40:], b""):
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))


def wide(handler: Any) -> None:
    """UTF-16 with a mark of its byte order."""
    packed(WHOLE.decode().encode("utf-16"), "identity")(handler)


@pytest.mark.parametrize("body", [old, chunked, wide])
def test_a_body_of_another_kind_is_read(replies: Callable[..., Server], body: Any) -> None:
    server = replies(body)
    assert ask().model_dump() == ANSWER and len(server.calls) == 1


def no_http(handler: Any) -> None:
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n")
    handler.close_connection = True


def test_what_is_no_http_is_named(replies: Callable[..., Server]) -> None:
    replies(no_http)
    with pytest.raises(NetworkError, match="OPENAI_BASE_URL"):
        ask()


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (403, "<html><title>Attention Required! | Cloudflare</title></html>",
         "403, a web page, Attention Required! | Cloudflare; does a firewall"),
        (403, complaint("Country not supported"), "403, Country not supported; check the key"),
        (401, "", "401, no reason given; check the key in OPENAI_API_KEY"),
        (400, [{"error": {"code": 400, "message": "API key not valid."}}], "valid.; check the key"),
        (405, {"detail": "Method Not Allowed"}, "405, Method Not Allowed"),
        (404, {"error": 'model "scripted" not found, try pulling it first'}, "try pulling it first"),
    ],
)  # fmt: skip
def test_a_final_refusal_says_what_to_look_at(
    replies: Callable[..., Server], status: int, body: Any, why: str
) -> None:
    server = replies(Refusal(status, body))
    with pytest.raises(InputError) as failed:
        ask()
    assert why in str(failed.value) and len(server.calls) == 1
