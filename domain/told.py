"""What of a day was told: a few bits, because every touched day in RAM has them."""

from enum import IntFlag


class Told(IntFlag):
    """Which events of a day were told, each once a day (low credits again after a lift).

    Above the flags stands the percent at which low credits were told last, where thresholds were
    set while the service ran: a field of its own would cost every day 8 bytes.
    """

    NOTHING = 0
    LOW_CREDITS = 1
    SPIKE = 2
    UNREAD = 4
    """No event: its document says nothing readable of its use, and the next charge puts that right."""

    @property
    def of_read(self) -> "Told":
        """What was told of a day whose use is known now."""
        # Flags take their time, and most are 0.
        return self ^ Told.UNREAD if self and Told.UNREAD in self else self

    @property
    def percent(self) -> int | None:
        """At how many percent low credits were told last; None: at the environment's, or not at all."""
        return self >> FLAG_BITS or None

    def low_at(self, environments: int) -> int | None:
        """Return at how many percent low credits were told last; None: they were not."""
        bits = int(self)  # Each charge to a day that is low asks, and flags take their time.
        return bits >> FLAG_BITS or environments if bits & LOW_BIT else None

    def at(self, percent: int) -> "Told":
        """Return what was told, low credits at so many percent."""
        return Told(self | percent << FLAG_BITS)

    def then(self, later: "Told") -> "Told":
        """Return what was told once more was. Of two percents the later counts."""
        return (self & FLAGS if later.percent else self) | later


FLAGS = Told.LOW_CREDITS | Told.SPIKE | Told.UNREAD
FLAG_BITS = 3
LOW_BIT = int(Told.LOW_CREDITS)
