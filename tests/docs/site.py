"""The pages as a site with search and the HTTP reference. `python -m tests.docs.site` builds it.

The pages stand in the repository as GitHub shows them. Here they are put side by side, the README
as the first, with the reference that is made of the OpenAPI document. Links follow.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.docs.reference import openapi_document, reference_page

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "build" / "docs"
CONFIGURATION = Path(__file__).with_name("site.toml")
STYLE = Path(__file__).with_name("site.css")
NAMES = {"README.md": "index.md", "SECURITY.md": "reporting.md", "CHANGELOG.md": "changelog.md"}
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)")


def put_pages(pages: Path) -> None:
    """Write every page, and each file that a page links to, into one folder."""
    sources = [*ROOT.glob("docs/*.md"), *(ROOT / name for name in NAMES)]
    places = {source: pages / NAMES.get(source.name, source.name) for source in sources}
    linked: set[Path] = set()

    def moved(source: Path, text: str) -> str:
        def follow(link: re.Match[str]) -> str:
            target = (source.parent / link[1]).resolve()
            if target not in places:
                linked.add(target)
            there = places.get(target, pages / place_of(target))
            return f"]({there.relative_to(pages).as_posix()}{link[2] or ''})"

        return LINK.sub(follow, text)

    pages.mkdir(parents=True)
    for source, place in places.items():
        place.write_text(moved(source, source.read_text()))
    for target in linked:
        copy = pages / place_of(target)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(target, copy)
    shutil.copy(STYLE, pages / STYLE.name)
    (pages / "http-reference.md").write_text(reference_page(openapi_document()))


def place_of(target: Path) -> Path:
    """Return where a file that is no page stands: as under `docs`, or else in `files`."""
    if target.is_relative_to(ROOT / "docs"):
        return target.relative_to(ROOT / "docs")
    return Path("files") / target.name


def build(place: Path) -> Path:
    """Build the site in a folder and return where it is. Warnings end it: CalledProcessError."""
    shutil.rmtree(place, ignore_errors=True)
    put_pages(place / "pages")
    shutil.copy(CONFIGURATION, place / "zensical.toml")
    subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=place,
        check=True,
        capture_output=True,
        text=True,
    )
    return place / "site"


if __name__ == "__main__":
    print(f"{build(PLACE)}/index.html")
