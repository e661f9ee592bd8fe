"""The rules of Allotment: pure functions over frozen values. No clock, no I/O, no async."""
