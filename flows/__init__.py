"""When a stage runs. Prefect keeps its state in a folder below this one, and does not make both."""

from pathlib import Path

Path("scratch").mkdir(exist_ok=True)
