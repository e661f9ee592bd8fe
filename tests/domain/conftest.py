"""How hypothesis looks for counterexamples here.

`make test` judges a change: it tries the same examples each time. `make search` looks for new
ones, and prints what it found so that it can be tried again.
"""

import os

from hypothesis import settings

settings.register_profile("same", database=None, deadline=None, derandomize=True)
settings.register_profile(
    "search",
    database=None,
    deadline=None,
    derandomize=False,
    print_blob=True,
    max_examples=int(os.environ.get("EXAMPLES", "1000")),
)
settings.load_profile("search" if "EXAMPLES" in os.environ else "same")
