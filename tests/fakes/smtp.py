"""An SMTP server in a process of its own."""

import contextlib
import mailbox
import smtplib
import subprocess
from email.message import Message
from pathlib import Path

from bench.processes import free_port
from tests.service.running import ending_with_us, wait_until


class SmtpProcess:
    """A server that keeps mail in a folder."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder / "mail"
        listen = f"127.0.0.1:{self.port}"
        command = ending_with_us("-m", "aiosmtpd", "-n", "-l", listen)
        command += ["-c", "aiosmtpd.handlers.Mailbox", str(self.folder)]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        wait_until(self._answers, 20)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), smtplib.SMTP("127.0.0.1", self.port, timeout=1):
            return True
        return False

    @property
    def messages(self) -> list[Message]:
        return list(mailbox.Maildir(self.folder))

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)
