"""A clock of a machine that jumps, for the processes of one service: the machine's own stays right."""

import mmap
import shutil
import struct
import subprocess
from datetime import timedelta
from pathlib import Path

SOURCE = Path(__file__).with_name("moved_clock.c")
SECONDS = struct.Struct("<q")


class MovedClock:
    """What programs show as the time of day that are started with these settings."""

    def __init__(self, folder: Path) -> None:
        """Make it in a folder of its own. Raises NotImplementedError where there is no C compiler."""
        compiler = shutil.which("cc")
        if compiler is None:
            raise NotImplementedError("there is no C compiler")
        self._file, library = folder / "seconds_ahead", folder / "moved_clock.so"
        self._file.write_bytes(SECONDS.pack(0))
        flags = ["-shared", "-fPIC", "-O2", "-Wall", "-Wno-nonnull-compare"]
        subprocess.run([compiler, *flags, "-o", library, SOURCE, "-ldl"], check=True)
        self.settings = {"LD_PRELOAD": str(library), "MOVED_CLOCK": str(self._file)}

    def set(self, ahead: timedelta) -> None:
        """Have them show a time that is so far ahead, at once and until it is set again."""
        with self._file.open("r+b") as file, mmap.mmap(file.fileno(), SECONDS.size) as shared:
            shared[:] = SECONDS.pack(int(ahead.total_seconds()))
