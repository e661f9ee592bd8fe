"""The actors as plain classes: no Ray, a hand-set clock, a store in memory or a real one.

The folders are those of `actors/`. What several tests need is in `tests/fakes` and `tests/builders`.
"""
