"""Helpers of the tests with models: a grey contact sheet, a chat, a question."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from scripted_server import MODEL

from reelward.models.chat import Chat
from reelward.models.schemas import DescriptionAnswer
from reelward.models.spend import Budget, SpendLog, Spent
from reelward.records import ModelSettings

ROOT = Path(__file__).parents[1]
KEY = "sk-CANARY-3f9a1c77e0b24d"
ANSWER = {"description": "walks", "criteria": ["the trunk is upright"]}
GOOD = json.dumps(ANSWER)


def sheet(grey: int) -> bytes:
    """A grey JPEG of a contact sheet's size."""
    return cv2.imencode(".jpg", np.full((448, 896, 3), grey, np.uint8))[1].tobytes()


def new_chat(model: str = MODEL, temperature: float | None = None) -> Chat:
    return Chat("critic", ModelSettings(name=model, temperature=temperature, max_tokens=500))


def ask(
    text: str = "What is it?", chat: Chat | None = None, pictures: int = 0
) -> DescriptionAnswer:
    chat = chat or new_chat()
    return chat.ask(DescriptionAnswer, [chat.user(text, [sheet(120)] * pictures)])


def spent() -> Spent:
    return SpendLog(Path("scratch/spend.jsonl"), Budget()).spent()
