"""Looks for inputs that break what reads them: `python -m tests.fuzz --seconds 600`.

`--target NAME` looks with one target only; `--replay FILE` gives it one input that was found.
Atheris is needed to look, not to replay. What is found lies in `.fuzz/found`, and ends with 1.
"""

import argparse
import importlib.util
import sys
from pathlib import Path

from tests.fuzz.looking import look
from tests.fuzz.targets import TARGETS


def main() -> int:
    arguments = parsed()
    names = [arguments.target] if arguments.target else list(TARGETS)
    if arguments.replay:
        TARGETS[names[0]].run(arguments.replay.read_bytes())
        return 0
    if importlib.util.find_spec("atheris") is None:
        print("nothing was looked for: atheris has no wheel for this Python or machine")
        return 3
    failed = 0
    for name in names:
        found = look(name, Path(".fuzz"), seconds=max(1, arguments.seconds // len(names)))
        print(found, flush=True)
        failed += found.failed
    return 1 if failed else 0


def parsed() -> argparse.Namespace:
    options = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    options.add_argument("--seconds", type=int, default=60, help="in all")
    options.add_argument("--target", choices=list(TARGETS))
    options.add_argument("--replay", type=Path, metavar="FILE", help="an input of --target")
    given = options.parse_args()
    if given.replay and not given.target:
        options.error("--replay needs --target")
    return given


if __name__ == "__main__":
    sys.exit(main())
