"""How the interpreter of a shard's process is set: many objects that live long, few threads."""

import gc
import sys

GC_THRESHOLD = 100_000  # New objects before the youngest are collected.
GC_GENERATION_THRESHOLD = 100  # Collections of one age before the next age is collected.
# How long a thread keeps the interpreter: the one that writes the views has much to do, and at 5 ms,
# the default, what callers wait for would wait for it several times a batch.
SWITCH_SECONDS = 0.0005


def tune_interpreter() -> None:
    """Set this process for a shard."""
    # An account is millions of objects' neighbour and part of no cycle: rare collections
    # are enough, and each of them would stop the shard for as long as it looks at them all.
    gc.set_threshold(GC_THRESHOLD, GC_GENERATION_THRESHOLD, GC_GENERATION_THRESHOLD)
    sys.setswitchinterval(SWITCH_SECONDS)
