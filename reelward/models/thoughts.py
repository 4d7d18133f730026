"""What a model thinks before it answers, where its server leaves that in the text.

Models mark their thoughts in different ways, and chat templates swallow some of the marks: the
opening one is often part of the prompt, and the closing one is missing where the reply was cut off.
"""

from __future__ import annotations

import json
import re

_NAMES = (
    "think|thinking|thought|thoughts|reason|reasoning|reflection|analysis|scratchpad|"
    "inner_monologue|chain_of_thought|cot|thought_process|thinking_process"
)
_MARK = re.compile(
    rf"<(?P<end>/?)(?:[a-z]{{1,12}}:)?(?:{_NAMES})(?:\s[\w-]{{1,20}}=[^<>]{{0,80}})?"
    r"\s{0,9}>"  # most models; <seed:think>
    r"|\[(?P<end2>/?)THINK\]"  # Magistral
    r"|◁(?P<end3>/?)think▷"  # Kimi
    r"|<\|(?:START|(?P<end4>END))_THINKING\|>"  # Command A
    r"|<\|(?:begin|(?P<end5>end))_of_thought\|>"  # OpenThinker
    r"|<\|channel\|>(?:analysis|commentary|(?P<end6>final))[^<{]{0,60}"  # gpt-oss
    r"(?:<\|constrain\|>[^<{]{0,60})?<\|message\|>"
    r"|<\|channel>thought|(?P<end7><channel\|>)"  # Gemma
    r"|\A\s{0,9}(?:[*_]{1,3}Thinking(?:\.{3}|…)[*_]{1,3}|Thinking(?:\.{3}|…)[ \t]{0,9}\n)"  # Ollama
    r"|(?P<end8>[*_]{0,3}(?:\.{3}|…)\s?done thinking\.?[*_]{0,3})"
    rf"|(?P<details><details\b[^<>]{{0,200}}\btype=[\"']?(?:{_NAMES})\b[^<>]{{0,200}}>"  # Open WebUI
    r"|<details\b[^<>]{0,200}>\s{0,9}<summary>[^<]{0,40}(?:think|thought|reason))|(?P<closed></details>)"
    rf"|(?P<fence>```(?:{_NAMES})\b[^\n`]{{0,20}}\n)|(?P<fenced>```)",
    re.IGNORECASE,
)
_CLOSED_BY = {"details": "closed", "fence": "fenced"}
"""Marks whose end is a mark of other things too."""
_SHARED = tuple(_CLOSED_BY.values())
_CONTROL = re.compile(
    r"<\|(?:end|return|start|im_end|endoftext|eot_id|end_of_text|END_RESPONSE|START_RESPONSE)\|>"
    r"(?:assistant)?|</s>|<end_of_turn>",
    re.IGNORECASE,
)
_WITHOUT_MARKS = re.compile(r"\s*(?:assistant)?analysis(?=[A-Z \n])")
"""gpt-oss on a server that drops its special tokens: `analysisI should ...assistantfinal{...}`"""


def without_thoughts(text: str) -> str:
    """The answer in a reply: the text outside all thoughts. The text before a closing mark that
    was never opened is thought, as is the text after an opening mark that is never closed.
    A mark inside a reply that is JSON from end to end is none. Takes linear time."""
    if text.lstrip().startswith("{") and _is_json(text):
        return text.strip()
    if _WITHOUT_MARKS.match(text) and "assistantfinal" in text:
        text = text.rpartition("assistantfinal")[2]
    answer: list[str] = []
    position, thinking, closing = 0, False, ""
    for mark in _MARK.finditer(text):
        name = mark.lastgroup
        kind = name if name and mark[name] else ""
        if kind != closing if thinking and closing else kind in _SHARED:
            continue  # it is part of these thoughts, or ends something else
        ends = kind.startswith("end") or kind in _SHARED
        if ends:
            if not thinking:
                answer.clear()
        elif not thinking:
            answer.append(text[position : mark.start()])
        if not ends and not thinking:
            closing = _CLOSED_BY.get(kind, "")
        thinking = not ends
        position = mark.end()
    if not thinking:
        answer.append(text[position:])
    return _CONTROL.sub("", "".join(answer)).strip()


def _is_json(text: str) -> bool:
    try:
        json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return False
    return True
