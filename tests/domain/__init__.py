"""The rules, tested without a clock, a network or a database."""
