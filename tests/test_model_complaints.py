"""What servers' refusals mean, in the words that the servers use."""

from __future__ import annotations

import email.utils
from typing import Any

import pytest

from reelward.models.capabilities import Capabilities, Sent, reduced
from reelward.models.complaints import complaint, seconds

NOW = 1_800_000_000.0
SENT = Sent(tokens=16000, temperature=True, pictures=3, side=896, stream=False)


def reduction(text: str, status: int = 400, sent: Sent = SENT) -> dict[str, Any] | None:
    """What changes in the capabilities after a refusal in these words."""
    less = reduced(complaint(status, {"error": {"message": text}}, {}), Capabilities(), sent)
    changed = less and {name: getattr(less, name) for name in Capabilities.model_fields}
    return changed and {k: v for k, v in changed.items() if v != getattr(Capabilities(), k)}


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("max_tokens is too large: 16000. This model supports at most 4096 completion tokens, "
         "whereas you provided 16000.", 4096),  # OpenAI, Azure
        ("max_tokens: 16000 > 8192, which is the maximum allowed number of output tokens for "
         "claude-3-5-sonnet-20241022", 8192),  # Anthropic
        ("litellm.BadRequestError: AnthropicException - max_tokens: 16000 > 8,192", 8192),
        ("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", 8192),  # DeepSeek
        ("Range of max_tokens should be [1, 8192]", 8192),  # DashScope
        ("`max_tokens` must be less than or equal to `8192`", 8192),  # Groq
        ("maxOutputTokens value of 16000 but the supported range is from 1 (inclusive) to 8193 "
         "(exclusive).", 8192),  # Gemini
        ("The maximum tokens you requested exceeds the model limit of 4096. Try again with a "
         "maximum tokens value that is lower than 4096.", 4095),  # Bedrock
        ("too many tokens: max_tokens must be less than 4096", 4095),  # Cohere
        ("max_tokens is too large: this model takes from 1 to 8192", 8192),
        ("max_tokens is too large", 8000),  # half of what was sent
    ],
)  # fmt: skip
def test_the_limit_on_an_answer_is_taken(text: str, tokens: int) -> None:
    assert reduction(text) == {"tokens": tokens}


@pytest.mark.parametrize(
    ("text", "context", "room"),
    [
        ("This model's maximum context length is 8192 tokens. However, you requested 21000 tokens "
         "(5000 in the messages, 16000 in the completion).", 8192, 3192),  # OpenAI, vLLM
        ("This model's maximum context length is 32768 tokens. However, you requested 36000 tokens.",
         32768, 12768),
        ("'max_tokens' or 'max_completion_tokens' is too large: 16000. This model's maximum context "
         "length is 32768 tokens and your request has 20000 input tokens (16000 > 32768 - 20000).",
         32768, 12768),  # vLLM
        ("`inputs` tokens + `max_new_tokens` must be <= 8193. Given: 5000 `inputs` tokens and 16000 "
         "`max_new_tokens`", 8193, 3193),  # TGI, Together
        ("This endpoint's maximum context length is 8192 tokens. However, you requested about 21000 "
         "tokens (5000 of text input, 16000 in the output).", 8192, 3192),  # OpenRouter
        ("input length and `max_tokens` exceed context limit: 188240 + 16000 > 200000", 200000,
         11760),  # Anthropic
        ("Request too large for model `x` on tokens per minute (TPM): Limit 6000, Requested 21000",
         6000, 1000),  # Groq
        ("8192 tokens of context, and 21000 were asked for: 5000 of messages and 16000 to write.",
         8192, 3192),
    ],
)  # fmt: skip
def test_the_room_in_a_context_is_taken(text: str, context: int, room: int) -> None:
    assert reduction(text) == {"context": context, "room": room - 16}


@pytest.mark.parametrize(
    "body",
    [
        {"message": "request (9000 tokens) exceeds the available context size (8192 tokens)",
         "type": "exceed_context_size_error", "n_prompt_tokens": 9000, "n_ctx": 8192},  # llama.cpp
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        "prompt is too long: 210000 tokens > 200000 maximum",
    ],
)  # fmt: skip
def test_a_prompt_that_is_too_long_by_itself_leaves_no_room(body: Any) -> None:
    refusal = complaint(400, {"error": body}, {})
    assert refusal.about_context and reduced(refusal, Capabilities(), SENT) is None


def test_a_context_that_is_known_leaves_what_the_prompt_does_not_take() -> None:
    assert Capabilities(context=8192).most_tokens(16000, 4000) == 4192
    assert Capabilities(context=8192).most_tokens(16000, 9000) == 2048
    assert Capabilities(context=8192, room=300).most_tokens(16000, 4000) == 300
    assert Capabilities(tokens=5000).most_tokens(16000, 4000) == 5000


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("Unsupported parameter: 'max_tokens' is not supported with this model. Use "
         "'max_completion_tokens' instead.", {"limit": "max_completion_tokens"}),
        ("Unsupported value: 'temperature' does not support 0 with this model.",
         {"temperature": False}),
        ("This model only support stream mode, please enable the stream parameter.",
         {"stream": True}),
        ("At most 1 image(s) may be provided in one request.", {"pictures": "one"}),
        ("Too many images in request: 3 > 2", {"pictures": "one"}),
        ("Multiple images are not supported", {"pictures": "one"}),
        ("image exceeds 5 MB maximum: 5316852 bytes > 5242880 bytes", {"side": 448}),
        ("Image dimensions exceed the max allowed size", {"side": 448}),
        ("Invalid schema for response_format 'x'", {"form": "json_object"}),
        ('Unknown name "response_format.json_schema"', {"form": "json_object"}),
        ("Failed to parse grammar", {"form": "json_object"}),
        ("No such thing", None),
    ],
)  # fmt: skip
def test_only_what_a_refusal_names_is_left_out(text: str, change: dict[str, Any] | None) -> None:
    assert reduction(text) == change


def test_a_request_that_is_too_large_gets_smaller_pictures_while_they_can_be_seen() -> None:
    assert reduction("<html>413 Request Entity Too Large</html>", 413) == {"side": 448}
    small = SENT.model_copy(update={"side": 448})
    assert reduction("Request Entity Too Large", 413, small) is None


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, "Invalid content type. image_url is only supported by certain models."),  # OpenAI
        (404, "No endpoints found that support image input"),  # OpenRouter
        (422, "messages[0]: unknown variant `image_url`, expected `text`"),  # DeepSeek
        (400, "messages[0].content must be a string"),  # Groq
        (400, "messages[0].content: invalid type: sequence, expected a string at line 1"),
        (422, "messages.0.content.str: Input should be a valid string"),  # FastAPI
        (400, "Model does not support images. Please use a model that does."),  # LM Studio
        (400, "Image input is not enabled for this model"),  # Mistral
        (400, "Qwen3-8B is not a multimodal model"),  # vLLM
        (400, "At most 0 image(s) may be provided in one prompt."),  # vLLM
        (500, "image input is not supported - hint: you may need to provide the mmproj"),
        (500, "this model is missing data required for image input"),  # Ollama
        (
            400,
            "cannot read the JSON body: messages[0] has a part image_url where only text is known",
        ),
        (500, "this model takes no image; was its projector loaded?"),
        (415, "This is a text-only model"),
    ],
)
def test_a_model_without_eyes_is_recognised(status: int, text: str) -> None:
    assert complaint(status, {"error": {"message": text}}, {}).no_pictures


@pytest.mark.parametrize(
    "text",
    ["At most 1 image(s) may be provided", "Multiple images are not supported",
     "You cannot send more than 2 images", "image exceeds 5 MB maximum", "Invalid JSON payload"],
)  # fmt: skip
def test_too_many_and_too_large_is_not_blind(text: str) -> None:
    assert not complaint(400, {"error": {"message": text}}, {}).no_pictures


@pytest.mark.parametrize(
    ("duration", "value"),
    [("38.2s", 38.2), ("7m12.5s", 432.5), ("18h3m1s", 64981), ("450ms", 0.45), ("2 minutes", 120),
     ("1 hour and 5 minutes", 3900), ("6m0s", 360), ("soon", None)],
)  # fmt: skip
def test_durations_are_read(duration: str, value: float | None) -> None:
    assert seconds(duration) == (None if value is None else pytest.approx(value))


INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "40s"}


@pytest.mark.parametrize(
    ("headers", "body", "wait"),
    [
        ({"Retry-After": "7"}, "x", 7),
        ({"retry-after": "0.5"}, "x", 0.5),
        ({"retry-after": email.utils.formatdate(NOW + 90, usegmt=True)}, "x", 90),
        ({"retry-after": email.utils.formatdate(NOW - 90, usegmt=True)}, "x", 0),
        ({"retry-after-ms": "1500", "retry-after": "2"}, "x", 1.5),
        ({"retry-after": "soon"}, "Please try again in 20s.", 20),
        ({}, "Please retry in 38.2s", 38.2),
        ({}, "Please try again in 7m12s. Visit example.org", 432),
        ({}, "Out of requests for this minute, 5 are free. Ask again in 39.500000s.", 39.5),
        ({}, [{"error": {"message": "x", "details": [INFO]}}], 40),
        ({}, {"error": {"message": "x", "metadata": {"retry_after_seconds": 12.5}}}, 12.5),
        ({}, {"error": "Model m is currently loading", "estimated_time": 20.0}, 20),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "6m0s",
          "x-ratelimit-remaining-requests": "0", "x-ratelimit-remaining-tokens": "900"}, "x", 1),
        ({"x-ratelimit-reset": str(int(1000 * (NOW + 30))), "x-ratelimit-remaining": "0"}, "x", 30),
        ({"anthropic-ratelimit-tokens-reset": "2027-01-15T08:00:30Z"}, "x", 30),
        ({}, "Slow down; 5 requests a minute are free", None),
        ({}, "You can retry 3 times", None),
        ({"retry-after": "-5"}, "x", None),
    ],
)  # fmt: skip
def test_the_wait_is_read_from_headers_and_body(
    headers: dict[str, str], body: Any, wait: float | None
) -> None:
    refusal = complaint(429, body, headers, NOW)
    assert refusal.wait == (None if wait is None else pytest.approx(wait, abs=1e-3))


def test_a_reset_of_a_rate_limit_says_nothing_about_a_broken_server() -> None:
    assert complaint(503, "x", {"x-ratelimit-reset-tokens": "6m0s"}, NOW).wait is None


PLAN = "You exceeded your current quota, please check your plan and billing details."


@pytest.mark.parametrize(
    ("status", "body", "credit", "quota"),
    [
        (402, "Insufficient Balance", True, False),
        (400, "Your credit balance is too low to access the API", True, False),
        (429, {"error": {"message": PLAN, "code": "insufficient_quota"}}, True, False),
        (429, PLAN, True, False),
        (429, f"{PLAN} Please retry in 38.2s", False, False),  # Gemini, of a minute
        (429, {"error": {"message": f"{PLAN} Please retry in 27s",
                         "details": [{"quotaId": "RequestsPerDayPerProject-FreeTier"}]}}, False, True),
        (429, "Rate limit reached on tokens per day (TPD): Limit 100000. Please try again in 7m12s",
         False, True),
        (429, "Rate limit reached on tokens per minute (TPM). Please try again in 7s", False, False),
        (503, "Overloaded", False, False),
    ],
)  # fmt: skip
def test_what_no_waiting_mends_is_told_from_what_a_minute_mends(
    status: int, body: Any, credit: bool, quota: bool
) -> None:
    refusal = complaint(status, body, {})
    assert (refusal.out_of_credit, refusal.out_of_quota) == (credit, quota)
    assert refusal.transient == (not credit and not quota)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "a"}}, "a"),
        ({"error": "a"}, "a"),
        ({"detail": [{"loc": ["body"], "msg": "a", "input": "the whole prompt"}]}, "a"),
        ([{"error": {"message": "a"}}], "a"),
        ({"message": {"detail": "a"}}, "a"),
        ({"error": {"message": "a", "metadata": {"raw": "b"}}}, "a: b"),
        ("<!DOCTYPE html><title>Bad &amp; gone</title>", "a web page, Bad & gone"),
        ("a\x1b[31m\r\nb\u2028c", r"a\x1b[31m b c"),
        ("", "no reason given"),
    ],
)
def test_the_words_of_a_refusal_are_one_line(body: Any, message: str) -> None:
    assert complaint(400, body, {}).message == message


def test_what_a_refusal_repeats_of_the_prompt_is_not_its_reason() -> None:
    echo = {"detail": [{"msg": "extra fields", "input": "context length, image, temperature"}]}
    assert reduced(complaint(422, echo, {}), Capabilities(), SENT) is None
