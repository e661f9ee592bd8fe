"""Sources: what packs give beside a day, in one charge, hold or correction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from domain.copies import replace
from domain.values import Credits


@dataclass(frozen=True, slots=True)
class PackShare:
    """What one pack gives, or gets back."""

    pack_id: str
    credit_amount: Credits


def total_of(shares: Iterable[PackShare]) -> Credits:
    """Return what shares add up to."""
    return Credits(sum(share.credit_amount for share in shares))


def joined(shares: Sequence[PackShare], more: Sequence[PackShare]) -> tuple[PackShare, ...]:
    """Return shares with more of the same packs, or of others after them."""
    if not more:
        return tuple(shares)
    sums: dict[str, int] = {}
    for share in (*shares, *more):
        sums[share.pack_id] = sums.get(share.pack_id, 0) + share.credit_amount
    return tuple(PackShare(pack_id, Credits(amount)) for pack_id, amount in sums.items())


def first_of(
    day: Credits, packs: Sequence[PackShare], amount: Credits
) -> tuple[Credits, tuple[PackShare, ...]]:
    """Return the day's and the packs' part of an amount that keeps what was taken first."""
    of_day = Credits(min(day, amount))
    if not packs:
        return of_day, ()
    left = amount - of_day
    kept: list[PackShare] = []
    for share in packs:
        part = Credits(min(share.credit_amount, left))
        left -= part
        if part > 0:
            kept.append(replace(share, credit_amount=part))
    return of_day, tuple(kept)


def minus(shares: Iterable[PackShare], less: Iterable[PackShare]) -> tuple[PackShare, ...]:
    """Return what is left of shares after others of the same packs; what is nothing is left out."""
    taken = {share.pack_id: share.credit_amount for share in less}
    parts = (
        PackShare(share.pack_id, Credits(share.credit_amount - taken.get(share.pack_id, 0)))
        for share in shares
    )
    return tuple(part for part in parts if part.credit_amount)
