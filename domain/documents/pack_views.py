"""The views of packs: what entries change in the documents of the `packs` collection."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from domain.charges import UsageRecorded
from domain.corrections import CreditsAdjusted, UsageReversed
from domain.holds import Hold, HoldFreed, HoldPlaced, HoldSettled
from domain.messages import Entry
from domain.pack_messages import PackAdded, PackExpired
from domain.sources import PackShare
from domain.stripe import GrantsVoided
from domain.values import NO_CREDITS, Credits


@dataclass(slots=True)
class PackView:
    """One pack document: what is to be added to its use, and to become of its holds."""

    pack_id: str
    applied_seq: int
    added: Entry | None = None
    """The entry that makes the document."""
    used: Credits = NO_CREDITS
    taken_back: Credits = NO_CREDITS
    """By adjustments."""
    refunded: Credits = NO_CREDITS
    """By refunds; negative: it is given again."""
    share_version: int | None = None
    """The newest that was told of the share that refunds leave; None: none was."""
    expired_at: datetime | None = None
    """The expiry that is written down."""
    placed: list[Hold] = field(default_factory=list)
    """Shares of holds that the document is to have from now on."""
    freed: list[str] = field(default_factory=list)
    """Ids of holds that it is to have no longer."""

    def free(self, hold_id: str) -> None:
        """Take a hold out: the document may never have had it."""
        placed_here = [hold for hold in self.placed if hold.hold_id == hold_id]
        if placed_here:
            self.placed.remove(placed_here[0])
        else:
            self.freed.append(hold_id)


def project_packs(packs: dict[str, PackView], entry: Entry) -> None:
    """Note what an entry changes in the documents of packs, by their ids."""
    match entry.change:
        case UsageRecorded(packs=shares):
            _spend(packs, shares, entry.seq)
        case HoldPlaced():
            for pack_id, share_of_hold in entry.change.of_packs():
                _view(packs, pack_id, entry.seq).placed.append(share_of_hold)
        case HoldSettled(hold_id=hold_id, usage=usage, freed_packs=pack_ids):
            _free(packs, hold_id, pack_ids, entry.seq)
            _spend(packs, usage.packs, entry.seq)
        case HoldFreed(hold_id=hold_id, packs=shares):
            _free(packs, hold_id, (share.pack_id for share in shares), entry.seq)
        case _:
            _project_rest(packs, entry)


def _project_rest(packs: dict[str, PackView], entry: Entry) -> None:
    match entry.change:
        case PackAdded(pack=pack):
            _view(packs, pack.pack_id, entry.seq).added = entry
        case PackExpired(pack_id=pack_id, expires_at=expires_at):
            _view(packs, pack_id, entry.seq).expired_at = expires_at
        case UsageReversed(packs=shares):
            _spend(packs, shares, entry.seq, sign=-1)
        case CreditsAdjusted():
            _adjust(packs, entry, entry.change)
        case GrantsVoided(packs=refunds):
            for one in refunds:
                view = _view(packs, one.pack_id, entry.seq)
                view.refunded = Credits(view.refunded + one.credit_amount)
                view.share_version = one.version
        case _:
            pass


def _view(packs: dict[str, PackView], pack_id: str, seq: int) -> PackView:
    view = packs.setdefault(pack_id, PackView(pack_id, seq))
    view.applied_seq = seq
    return view


def _spend(
    packs: dict[str, PackView], shares: Iterable[PackShare], seq: int, sign: int = 1
) -> None:
    for share in shares:
        view = _view(packs, share.pack_id, seq)
        view.used = Credits(view.used + sign * share.credit_amount)


def _free(packs: dict[str, PackView], hold_id: str, pack_ids: Iterable[str], seq: int) -> None:
    for pack_id in pack_ids:
        _view(packs, pack_id, seq).free(hold_id)


def _adjust(packs: dict[str, PackView], entry: Entry, change: CreditsAdjusted) -> None:
    if change.added is not None:
        _view(packs, change.added.pack_id, entry.seq).added = entry
    for share in change.packs:
        view = _view(packs, share.pack_id, entry.seq)
        view.taken_back = Credits(view.taken_back + share.credit_amount)
