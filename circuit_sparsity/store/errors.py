"""What can go wrong between the cache folder and the container, for the person who meets it."""


class StoreError(ValueError):
    """Something about a stored file: the message says what happened and what to do next."""


class NotHere(StoreError):
    """The file is in neither folder of this machine, and nobody asked for a download."""


class NotFound(StoreError):
    """The container says that it has no such file."""


class Refused(StoreError):
    """The container answered, and the answer is no use: not allowed, or not what was asked for."""


class Unreachable(StoreError):
    """No answer, or only answers that say "later", after several tries."""


class Damaged(StoreError):
    """The bytes are not the file's bytes: empty, too short, or with another hash."""


class NoSpace(StoreError):
    """The disk cannot hold the file."""


class Busy(StoreError):
    """Another process works on the same file."""


class TransferCancelled(StoreError):
    """The caller's `cancel` was set; what had arrived is kept for the next try."""


class NotListable(StoreError):
    """The service does not say what it holds; single files may still be had."""


class Later(StoreError):
    """A trouble that may pass: a reset, a time-out, a busy server. Handled by trying again."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait  # seconds, where the server said so


class Replaced(StoreError):
    """What had arrived no longer belongs to the file in the container. Handled by starting over."""
