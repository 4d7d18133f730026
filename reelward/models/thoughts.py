"""What a model thinks before it answers, where its server leaves that in the text.

Models mark their thoughts in different ways, and chat templates swallow some of the marks: the
opening one is often part of the prompt, and the closing one is missing where the reply was cut off.
"""

from __future__ import annotations

import json
import re

_NAMES = (
    "think|thinking|thought|thoughts|reason|reasoning|reflection|analysis|scratchpad|"
    "inner_monologue|chain_of_thought|cot"
)
_MARK = re.compile(
    rf"<(?P<end>/?)(?:[a-z]{{1,12}}:)?(?:{_NAMES})\s{{0,9}}>"  # most models; <seed:think>
    r"|\[(?P<end2>/?)THINK\]"  # Magistral
    r"|◁(?P<end3>/?)think▷"  # Kimi
    r"|<\|(?:START|(?P<end4>END))_THINKING\|>"  # Command A
    r"|<\|(?:begin|(?P<end5>end))_of_thought\|>"  # OpenThinker
    r"|<\|channel\|>(?:analysis|commentary|(?P<end6>final))[^<{]{0,60}"  # gpt-oss
    r"(?:<\|constrain\|>[^<{]{0,60})?<\|message\|>"
    r"|<\|channel>thought|(?P<end7><channel\|>)",  # Gemma
    re.IGNORECASE,
)
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
    position, thinking = 0, False
    for mark in _MARK.finditer(text):
        if any(mark.groups()):
            if not thinking:
                answer.clear()
        elif not thinking:
            answer.append(text[position : mark.start()])
        thinking = not any(mark.groups())
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
