"""Jobs for workers in other processes, which import this file by its name."""

import os
import signal
from pathlib import Path


def square(job: tuple[str, int]) -> int:
    """The number's square, but whoever comes first with a marker is killed in the middle."""
    marker, number = job
    if number == 1:
        try:
            Path(marker).touch(exist_ok=False)
        except FileExistsError:
            return number * number
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def die(job: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return job


def refuse(job: int) -> int:
    raise ValueError(f"there is no {job}")
