"""The device that somebody asks for, checked before any work."""

import torch

CPU = "cpu"
NAMES = "auto, cpu, cuda, cuda:N or mps"


def devices_here() -> tuple[str, ...]:
    """The devices of this machine by name, the CPU first; each CUDA device has its number."""
    cuda = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    apple = ("mps",) if torch.backends.mps.is_available() else ()
    return (CPU, *(f"cuda:{number}" for number in cuda), *apple)


def device_named(name: str | torch.device) -> torch.device:
    """The device of that name; ``auto`` is a CUDA device, else Apple's, else the CPU.

    Raises ValueError, in one sentence, for a name that is none and for a device that is not here.

    >>> device_named("cpu")
    device(type='cpu')
    >>> device_named("gpu")
    Traceback (most recent call last):
    ValueError: there is no device 'gpu'; expected auto, cpu, cuda, cuda:N or mps
    """
    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        other = "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device("cuda" if cuda else other)
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"there is no device {str(name)!r}; expected {NAMES}")
    if device.type == "cuda" and (device.index or 0) >= cuda:
        raise ValueError(
            f"{device} was asked for, and PyTorch finds {cuda} CUDA devices here; "
            'give --device cpu, or device="cpu" in Python'
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError(
            "mps was asked for, and PyTorch finds no such device here; "
            'give --device cpu, or device="cpu" in Python'
        )
    return device
