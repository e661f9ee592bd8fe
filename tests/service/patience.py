"""How long a service may take to find what hangs, and to come back."""

from tests.patience import PATIENCE_SECONDS

FOUND_SECONDS_MAX = 10.0
BACK_SECONDS_MAX = PATIENCE_SECONDS
