"""The users of a run: who they are, and what each of them has been given."""

AMOUNT = 3_000_000  # Credits of a user's one payment: no charge of a run is ever refused.
DAYS = 30
FIRST_USER = 0x66A0_0000_0000_0000_0000_0000  # 24 hex digits, as the ids of Mongoose programs are.


def user_id(index: int) -> str:
    """Return the id of a user; ids of all users are equally long."""
    return f"{FIRST_USER + index:024x}"
