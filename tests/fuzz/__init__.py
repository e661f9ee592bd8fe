"""Bytes that nobody would send or store, for all that reads what others have written.

A target turns bytes into an input, gives it to our code and lets out only what that code promises.
Atheris (libFuzzer for Python) makes up the bytes, led by which lines they reach.
"""
