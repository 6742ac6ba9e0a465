"""Every closed choice of the public interface refuses what it does not know, and names the rest."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_an_unknown_choice_is_refused_beside_the_known_ones() -> None:
    """In a process of its own: the tests' check of types would refuse it first."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.closed_choices"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    heard = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(heard) > 35
    for known, answer in heard:
        assert known in answer, (known, answer)
