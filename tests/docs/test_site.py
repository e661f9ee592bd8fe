"""The site is built without a warning, finds what is on its pages, and loads nothing from elsewhere."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.docs.reference import openapi_document
from tests.docs.site import CONFIGURATION, ROOT, build

LOADED = re.compile(r"<(?:link|script|img|iframe|source|object|embed)\b[^>]*>")
ELSEWHERE = re.compile(r"""(?:src|href|data|srcset)\s*=\s*["']?\s*(?:https?:)?//""")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return build(tmp_path_factory.mktemp("site") / "docs")
    except subprocess.CalledProcessError as error:
        pytest.fail(f"{error.stdout}\n{error.stderr}")


def test_every_page_is_on_the_site_and_in_its_navigation(site: Path) -> None:
    built = {page.stem for page in site.glob("*.html")} - {"404"}
    configured = set(re.findall(r'"([\w-]+)\.md"', CONFIGURATION.read_text()))

    assert {page.stem for page in ROOT.glob("docs/*.md")} < built
    assert built == configured


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    pages = [*site.glob("**/*.html")]
    loaded = [tag for page in pages for tag in LOADED.findall(page.read_text())]

    assert len(loaded) > len(pages)
    assert [tag for tag in loaded if ELSEWHERE.search(tag)] == []
    for sheet in site.glob("**/*.css"):
        assert not re.search(r"@import|url\(\s*[\"']?(?:https?:)?//", sheet.read_text()), sheet.name
    for picture in site.glob("**/*.svg"):
        assert "href" not in picture.read_text(), picture.name


def test_a_search_finds_every_operation_every_setting_and_the_pages(site: Path) -> None:
    found = json.loads((site / "search.json").read_text())["items"]
    titles = {re.sub(r"<[^>]+>", "", item["title"]) for item in found}
    texts = " ".join(item["text"] for item in found)

    for path, item in openapi_document()["paths"].items():
        for method in item:
            assert f"{method.upper()} {path}" in titles
    assert "ALLOTMENT_MAX_STALENESS_SECONDS" in texts
    assert {"A tour of Allotment", "Decisions", "How credits are counted"} <= titles
