"""A quick pipeline in the place of the stages: DVC, git, Prefect and the flows around it are the real
ones. `python -m stages.toy STAGE ITERATION PARENT`.

The file `hang` names a stage that runs on until it is killed.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

PIPELINE = """\
vars: [loop.yaml]
stages:
  rewards:
    foreach: ${iterations}
    do:
      cmd: python -m stages.toy rewards ${key} ${item.parent}
      deps: [stages/toy.py, "rewards/${item.parent}/selected.py"]
      params: [{loop.yaml: ["iterations.${key}"]}]
      outs: ["rewards/${key}/candidates": {cache: false}]
  train:
    foreach: ${iterations}
    do:
      cmd: python -m stages.toy train ${key} ${item.parent}
      deps: [stages/toy.py, "rewards/${key}/candidates"]
      params: [train]
      outs: ["data/iterations/${key}/policies"]
  rollout:
    foreach: ${iterations}
    do:
      cmd: python -m stages.toy rollout ${key} ${item.parent}
      deps: [stages/toy.py, "data/iterations/${key}/policies", "rewards/${key}/candidates"]
      outs: ["data/iterations/${key}/rollouts"]
  film:
    foreach: ${iterations}
    do:
      cmd: python -m stages.toy film ${key} ${item.parent}
      deps: [stages/toy.py, "data/iterations/${key}/rollouts"]
      outs: ["data/iterations/${key}/films"]
  select:
    foreach: ${iterations}
    do:
      cmd: python -m stages.toy select ${key} ${item.parent}
      deps: [stages/toy.py, "data/iterations/${key}/rollouts", "${critique.file}"]
      params: [critique]
      outs:
        - "rewards/${key}/selected.py": {cache: false}
        - "rewards/${key}/feedback.json": {cache: false}
        - "rewards/${key}/history.csv": {cache: false}
  publish:
    cmd: python -m stages.toy publish ${last} none
    deps: [stages/toy.py, "rewards/${last}/history.csv"]
    outs: ["rewards/best.py": {cache: false}]
    metrics: [metrics.json: {cache: false}]
  report:
    cmd: python -m stages.toy report ${last} none
    deps: [stages/toy.py, data/iterations, metrics.json]
    outs: [report]
"""


def main(stage: str, key: str, parent: str) -> None:
    if (hang := Path("hang")).is_file() and hang.read_text() == stage:
        time.sleep(3600)
    rewards, data = Path("rewards", key), Path("data/iterations", key)
    match stage:
        case "rewards":
            ledger = Path("loop.yaml").read_text()
            error = "a person refused it" if "refused" in ledger else None
            (rewards / "candidates").mkdir(parents=True)
            seed = Path("rewards", parent, "selected.py").read_text()
            for name in ("c0", "c1"):
                (rewards / f"candidates/{name}.py").write_text(f"{seed}# {name}\n")
            (rewards / "candidates/index.json").write_text(index(error))
        case "train":
            (data / "policies").mkdir(parents=True)
            (data / "policies/SHA256SUMS").write_text("trained")
        case "rollout":
            (data / "rollouts").mkdir()
            text = (rewards / "candidates/index.json").read_text()
            (data / "rollouts/index.json").write_text(text)
        case "film":
            (data / "films").mkdir()
            (data / "films/c0.mp4").write_text("film")
        case "select":
            text = Path("rewards", parent, "selected.py").read_text()
            refused = "refused" in (rewards / "candidates/index.json").read_text()
            (rewards / "selected.py").write_text(text if refused else f"{text}# c0\n")
            (rewards / "feedback.json").write_text("{}")
            line = f"{key},{'failed' if refused else 'c0'},0.5\n"
            (rewards / "history.csv").write_text(f"iteration,candidate,closeness\n{line}")
        case "publish":
            Path("rewards/best.py").write_text((rewards / "selected.py").read_text())
            Path("metrics.json").write_text('{"closeness": 0.5}')
        case "report":
            Path("report").mkdir()
            Path("report/index.html").write_text(f"<p>{key}</p>")


def index(error: str | None) -> str:
    """The candidates of an iteration as the stages write them."""
    return json.dumps(
        {
            "candidates": [
                {
                    "name": name, "start": "scratch", "number": number, "note": "one line",
                    "file": None if error else f"{name}.py", "error": error,
                }
                for number, name in enumerate(("c0", "c1"))
            ]
        }
    )  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
