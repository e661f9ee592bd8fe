"""docs/quickstart-python.md is true: every block of it is run, from its own text."""

import re
import shutil
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from bench.processes import free_port
from tests.service.pages import Reader, blocks_of
from tests.service.running import RunningService

pytestmark = pytest.mark.service

ROOT = Path(__file__).parents[2]
ADAPTERS = ("openai", "litellm")  # Blocks about these are run where these are installed.


def test_every_block_of_the_quickstart_does_what_it_says(
    rehearsal: RunningService, tmp_path: Path
) -> None:
    for part in ("clients/python", "examples/fastapi"):
        ignored = shutil.ignore_patterns("*.egg-info", "build", "__pycache__")
        shutil.copytree(ROOT / part, tmp_path / part, ignore=ignored)
    # What pip would fetch is there: the page is followed where there is no registry.
    venv.create(tmp_path / "quickstart", with_pip=True)
    (packages,) = (tmp_path / "quickstart").glob("lib/python*/site-packages")
    (packages / "here.pth").write_text(
        f"import sys; sys.path.insert(1, {sysconfig.get_path('purelib')!r})\n"
    )
    blocks = [
        block
        for block in blocks_of(ROOT / "docs" / "quickstart-python.md")
        if "make " not in block.text and not any(name in block.text for name in ADAPTERS)
    ]
    port = free_port()

    def here(text: str) -> str:
        text = text.replace("http://127.0.0.1:8000", rehearsal.address)
        text = re.sub(r"\bada\b", "reader-of-the-quick-start", text)  # Other pages have their ada.
        return text.replace("8001", str(port)).replace(
            ".venv/bin/", f"{Path(sys.executable).parent}/"
        )

    environment = rehearsal.environment() | {
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # So pip spells that there shall be none.
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    python = str(tmp_path / "quickstart" / "bin" / "python")

    ran = Reader(tmp_path, python, environment, here).follow(blocks, servers="-m uvicorn")

    assert ran >= 8
