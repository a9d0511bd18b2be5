"""What to raise where a whole batch cannot be handled. Any other exception is a rejected batch too."""

import os
import traceback

STANDARD_LIBRARY = os.path.dirname(traceback.__file__)
REASON_LENGTH = 2000
"""Longest reason that is handed over; the host shortens it further."""


class Retry(Exception):
    """Transient: the batch comes again, after at least `after_ms` (0: the core's own backoff)."""

    def __init__(self, reason: str, after_ms: int = 0):
        super().__init__(reason)
        self.after_ms = after_ms


class Reject(Exception):
    """The same events will fail again: the core finds the bad one by halves and sets it aside."""


class Halt(Exception):
    """Stops the plugin until an operator resumes it."""


def told(error: BaseException) -> str:
    """Returns an exception in a line, with the place in the plugin's own files that it came from."""
    text = f"{type(error).__name__}: {error}"[:REASON_LENGTH]
    frames = traceback.extract_tb(error.__traceback__)
    others = (STANDARD_LIBRARY, "headcount_plugin/")
    own = [frame for frame in frames if not any(other in frame.filename for other in others)]
    if not own:
        return text
    name = own[-1].filename.rsplit("/", 1)[-1]
    return f"{text} ({name}:{own[-1].lineno})"
