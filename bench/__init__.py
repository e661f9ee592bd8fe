"""Measures the service beside what it is compared with, side by side in one run: `make bench`."""
