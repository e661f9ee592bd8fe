"""The seed of a run's randomised tests: one for all processes that share the run's work.

It is in the tests' names; `TEST_SEED=... make test` takes the same one again.
"""

import os
import random

SEED = int(os.environ.setdefault("TEST_SEED", str(random.randrange(2**32))))
