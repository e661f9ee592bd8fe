"""The docs' pictures of the console and of the element are of pages as they are: they can be taken again."""

from pathlib import Path

from tests.docs.console_pictures import BYTES_MAX, FOLDER, take, take_element

PNG = b"\x89PNG\r\n\x1a\n"
SIZE = slice(16, 24)  # Of a PNG: its width and height.


def test_every_picture_of_the_docs_can_be_taken_again_in_its_size(tmp_path: Path) -> None:
    for taken in [*take(tmp_path), take_element(tmp_path)]:
        content, shown = taken.read_bytes(), (FOLDER / taken.name).read_bytes()
        assert content.startswith(PNG)
        assert content[SIZE] == shown[SIZE], taken.name
        assert len(content) <= BYTES_MAX
