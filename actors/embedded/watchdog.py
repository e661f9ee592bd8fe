"""Notices that the embedded server makes no progress, and says what to do about it.

A server that answers pings may still wait: for a transaction that a client leaves open, or two
of its writes for each other. It shows in work of ours that does not come back.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

# In looks, which come twice a second: while the whole machine stands still, none comes.
LOOKS_BETWEEN = 10  # From the end of one probe to the next,
LOOKS_PATIENCE = 16  # of a probe without an answer until open transactions are ended,
LOOKS_MAX = 32  # and until the server is given up.

logger = logging.getLogger(__name__)


class Watchdog:
    """Has a server work now and then. `look` is called by one thread.

    `probe` returns or raises where the server answered, and raises TimeoutError where it did not.
    `end_transactions` frees a server that waits for a client. Either may block.
    """

    def __init__(self, probe: Callable[[], None], end_transactions: Callable[[], None]) -> None:
        self._probe = probe
        self._end_transactions = end_transactions
        self._workers = ThreadPoolExecutor(2, thread_name_prefix="embedded-watch")
        self._asked: Future[None] | None = None
        self._ending: Future[None] | None = None
        self._looks = 0

    def look(self) -> bool:
        """Say whether the server is worth keeping; False means that it has to be killed."""
        self._looks += 1
        if self._asked is not None and self._asked.done():
            self._hear(self._asked)
        if self._asked is None:
            if self._looks >= LOOKS_BETWEEN:
                self._asked, self._looks = self._workers.submit(self._probe), 0
            return True
        if self._looks >= LOOKS_PATIENCE and self._ending is None:
            logger.warning("the embedded MongoDB makes no progress: open transactions are ended")
            self._ending = self._workers.submit(self._end_transactions)
        return self._looks < LOOKS_MAX

    def close(self) -> None:
        """Ask no more. What is asked already ends with the server, or by its own time limit."""
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _hear(self, asked: Future[None]) -> None:
        """Begin again after an answer; without one, ask again and go on counting."""
        if isinstance(asked.exception(), TimeoutError):
            self._asked = self._workers.submit(self._probe)
        else:
            self._asked, self._ending, self._looks = None, None, 0
