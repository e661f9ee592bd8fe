"""How hypothesis looks for counterexamples here: anew each time, printing what it found."""

from hypothesis import settings

settings.register_profile(
    "domain",
    database=None,
    deadline=None,
    derandomize=False,
    print_blob=True,
)
settings.load_profile("domain")
