"""Clocks, loops, prices: what every process has."""
