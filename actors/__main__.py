"""`python -m actors` is the command `allotment`."""

from actors.command_line import main

main()
