"""Breaks what packs and corrections are built of, in one place at a time."""

from tests.simulation.mutation import Mutation

PACK_MUTATIONS = (
    Mutation(
        "packs-before-the-day",
        "domain.coverage",
        "of_day = Credits(min(max(funds.day_left, 0), amount))",
        "of_day = Credits(max(0, amount - sum(pack.left for pack in funds.packs)))",
        "packs are spent before the day",
    ),
    Mutation(
        "spend-expired-packs",
        "domain.packs",
        "return now < self.expires_at and not self.is_expiry_written",
        "return not self.is_expiry_written",
        "a pack is spent that has expired, until that is written down",
    ),
    Mutation(
        "never-before-soon",
        "domain.packs",
        "self.expires_at or _NEVER,",
        "self.expires_at or self.created_at,",
        "packs that never expire are spent before those that will",
    ),
    Mutation(
        "packs-keep-expired-holds",
        "domain.decide_holds",
        "freed = _freed(found, own, found.packs, expired=True)",
        "freed = _freed(found, own, (), expired=True)",
        "a hold's share of a pack is not freed when it expires",
    ),
    Mutation(
        "settlement-keeps-the-last-taken",
        "domain.decide_holds",
        "kept, shares = first_of(found.day_amount, found.packs, cost.amount)",
        "shares = first_of(NO_CREDITS, found.packs, cost.amount)[1]\n"
        "    kept = min(found.day_amount, cost.amount - total_of(shares))",
        "a settlement keeps what was taken last of a hold",
    ),
    Mutation(
        "reverse-what-is-back",
        "domain.charges",
        "return Credits(self.credit_amount - self.reversed_credits)",
        "return self.credit_amount",
        "a reversal ignores what was reversed before",
    ),
    Mutation(
        "documents-forget-reversals",
        "domain.documents.packs",
        """        _amount_or_nothing(document, "reversed_credits"),\n""",
        "        NO_CREDITS,\n",
        "a charge that is read again has nothing reversed",
    ),
    Mutation(
        "expired-packs-are-paid-back",
        "domain.decide_corrections",
        "return pack is not None and pack.is_live(asking.now)",
        "return pack is not None",
        "what goes back to an expired pack is called spendable",
    ),
    Mutation(
        "documents-forget-what-packs-lost",
        "domain.documents.pack_views",
        "        view.taken_back = Credits(view.taken_back + share.credit_amount)\n",
        "        del view\n",
        "a negative adjustment is not in the documents of packs",
    ),
    Mutation(
        "documents-forget-what-days-lost",
        "domain.documents.views",
        "                day.adjusted = Credits(day.adjusted + amount)\n",
        "                del day\n",
        "a negative adjustment is not in the documents of days",
    ),
    Mutation(
        "set-the-day-alone",
        "domain.decide_corrections",
        "wanted = Credits(command.remaining_credits - funds.remaining)",
        "wanted = Credits(command.remaining_credits - funds.day_left)",
        "a balance is set to a number as if there were no packs",
    ),
    Mutation(
        "settle-late-twice",
        "domain.documents.views",
        "        views.settled_late.append(change.settles)\n",
        "        pass\n",
        "a hold that has expired is settled late again and again",
    ),
    Mutation(
        "loading-forgets-holds-of-packs",
        "domain.documents.packs",
        "tuple(sorted(holds, key=lambda hold: (hold.expires_at, hold.hold_id))),",
        "(),",
        "an account that is read again has no holds on packs",
    ),
    Mutation(
        "lapse-what-is-held",
        "domain.decide_packs",
        "pack.expires_at, pack.left)",
        "pack.expires_at, Credits(max(pack.spendable - pack.used, 0)))",
        "what holds have set aside of a pack lapses twice",
    ),
    Mutation(
        "forget-payments-of-spent-packs",
        "domain.retention",
        "gone = {p.transaction_id for p in account.packs if not p.matters and p.transaction_id}",
        "gone = set[str]()",
        "a pack is paid for twice by one payment once it is used up",
    ),
)
