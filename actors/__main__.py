"""`python -m actors` is the command `allotment`."""

from actors.cli.main import main

main()
