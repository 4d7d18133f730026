"""Download the video of a page of a video site, by yt-dlp in a process of its own.

yt-dlp checks no address: only the sites in SITES are allowed, each by its own extractor.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from pathlib import Path

from reelward.runtime.errors import NetworkError, ResourceError
from reelward.runtime.limits import Limits, run_within
from reelward.runtime.words import one_line

SITES = {
    "youtube.com": "youtube",
    "youtu.be": "youtube",
    "vimeo.com": "vimeo",
    "dailymotion.com": "dailymotion",
    "commons.wikimedia.org": "wikimedia.org",
    "archive.org": "archive.org",
}
"""Host (with its subdomains) -> the extractor of yt-dlp that is allowed there."""

COMPLAINTS = {
    "not a bot": "the site asks this address to sign in: wait, or use another network",
    "format is not available": "no usable format: update yt-dlp, and see `reelward doctor`",
    "HTTP Error 403": "the site refused: update yt-dlp",
    "Private video": "the video is private",
    "in your country": "the video is not available in this country",
    "Unsupported URL": "not a page of a video",
    "No suitable extractor": "not a page of a video",
    "max-filesize": "larger than max_mb",
    "does not pass filter": "a live stream, which has no end",
}
"""A part of yt-dlp's message -> what the user is told."""

MAX_LINK = 4000
"""characters; servers refuse longer ones"""
SILENCE = 20
"""s without a byte before yt-dlp counts a connection as lost"""
OPTIONS = [
    "--ignore-config", "--no-plugin-dirs", "--no-cache-dir", "--no-playlist", "--playlist-items=1",
    "--format=bv*[height<=720][ext=mp4]/bv*[height<=720]/b[height<=720]/b",
    "--match-filters=!is_live", "--retries=3", "--fragment-retries=3",
    f"--socket-timeout={SILENCE}", "--no-progress", "--color=never", "--output=video.%(ext)s",
]  # fmt: skip
DETAILS = "after_move:%(.{filepath,title,uploader,license,webpage_url})j"
"""What yt-dlp writes as JSON once it has the file."""


def extractor(host: str) -> str | None:
    """The extractor for a host of SITES."""
    for site, name in SITES.items():
        if host == site or host.endswith("." + site):
            return name
    return None


def page(url: str, extractor: str, into: Path, limits: Limits) -> dict[str, str]:
    """Download the video of a site's page, at most 720 pixels high, without sound. Returns its source,
    and title, author and licence where the site names them. Raises NetworkError, ResourceError."""
    with tempfile.TemporaryDirectory(dir=into.parent) as name:
        folder = Path(name).resolve()
        details = folder / "details.json"
        command = [sys.executable, "-P", "-m", "yt_dlp", *OPTIONS]
        command += [f"--use-extractors={re.escape(extractor)}(:.*)?"]
        command += [f"--max-filesize={limits.bytes}", "--print-to-file", DETAILS, str(details)]
        done = run_within([*command, "--", url], folder, limits, "yt-dlp")
        info = json.loads(details.read_text()) if details.is_file() else {}
        video = folder / Path(info.get("filepath") or "none").name
        if not video.is_file():
            text = done.stdout + done.stderr
            known = next((why for part, why in COMPLAINTS.items() if part in text), None)
            why = known or one_line((text.splitlines() or ["nothing was downloaded"])[-1])
            raise NetworkError(f"{url}: {why}; or download it by hand and give the file")
        if video.stat().st_size > limits.bytes:
            raise ResourceError(f"{url}: {limits.too_large}")
        shutil.move(video, into)
    keys = {"title": "title", "author": "uploader", "licence": "license"}
    metadata = {ours: one_line(info[theirs]) for ours, theirs in keys.items() if info.get(theirs)}
    return {"source": one_line(info.get("webpage_url") or url, most=MAX_LINK)} | metadata
