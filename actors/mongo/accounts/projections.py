"""Which fields of which documents accounts are read from."""

from domain.documents.days import TOLD_FIELDS

SUBSCRIPTION_FIELDS = (
    "user_id",
    "start_date",
    "end_date",
    "total_credits",
    "system_portion",
    "spendable_credits",
    "status",
    "timezone",
    "timezones",
    "grants",
    "stripe",
    "applied_seq",
    "changed_at",
)
DAY_FIELDS = (
    "subscription_id",
    "date",
    "credits_used",
    "credits_charged",
    "applied_seq",
    *TOLD_FIELDS,
    "holds",
    "credits_adjusted",
)
PACK_FIELDS = (
    "user_id",
    "amount",
    "system_portion",
    "spendable_credits",
    "credits_used",
    "category",
    "priority",
    "created_at",
    "expires_at",
    "payment.transaction_id",
    "holds",
    "applied_seq",
    "expired_at",
    "refunded_credits",
    "taken_back_credits",
    "share_version",
)
USAGE_FIELDS = (
    "user_id",
    "subscription_id",
    "credit_amount",
    "date",
    "seq",
    "sources",
    "reversed_credits",
)
