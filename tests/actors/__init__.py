"""The actors as plain classes: no Ray, a hand-set clock, a store in memory or a real one."""
