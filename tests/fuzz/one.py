"""Runs one target in this process: `python -m tests.fuzz.one NAME`, then what libFuzzer takes."""

import sys

import atheris

with atheris.instrument_imports(include=["actors", "domain"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    name, *arguments = sys.argv[1:]
    atheris.Setup([sys.argv[0], *arguments], TARGETS[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
