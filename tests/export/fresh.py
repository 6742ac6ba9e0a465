"""Run an exported program in an interpreter of its own that knows nothing of this project."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# Only what the program itself brings in counts: an installation may load more at its start.
_WATCHED = """
import json, runpy, sys
before = set(sys.modules)
for ids in json.loads(sys.argv[2]):
    sys.argv[1:] = list(map(str, ids))
    try:
        runpy.run_path({path!r}, run_name="__main__")
    except SystemExit as end:
        assert not end.code, end.code
    print("--")
new = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(json.dumps(sorted(new - set(sys.stdlib_module_names) - {{"__main__"}})))
"""


def answers(path: Path, prompts: Sequence[Sequence[int]]) -> list[dict[int, float]]:
    """For each prompt, the logits by token that the program prints; numpy alone is imported."""
    code = _WATCHED.format(path=str(path))
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, "-", json.dumps([list(ids) for ids in prompts])],
        capture_output=True,
        text=True,
        check=False,
        cwd=path.parent,
    )
    assert done.returncode == 0, done.stderr
    *runs, modules = done.stdout.split("--\n")
    assert json.loads(modules) == ["numpy"]
    return [dict(map(_line, run.splitlines())) for run in runs]


def _line(text: str) -> tuple[int, float]:
    logit, token, _ = text.split("\t")
    return int(token.removeprefix("token ")), float(logit)
