"""Files in UTF-16, as some editors of Windows save them."""

import pytest

from data import sources
from tests import format_folders
from tests.single_images import boxes_px, open_as


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig"])
@pytest.mark.parametrize("kind", ["coco", "labelme", "cvat", "createml", "datumaro", "via", "supervisely", "voc"])
def test_files_are_recognised_and_read_whatever_utf_they_are_in(tmp_path, kind, encoding):
    root = format_folders.WRITERS[kind](tmp_path / "set")
    expected = boxes_px(open_as(kind, root))
    for file in [*root.rglob("*.json"), *root.rglob("*.xml")]:
        file.write_bytes(file.read_text().encode(encoding))
    assert sources.canonical(str(root)) == f"{kind}:{root}"
    assert boxes_px(open_as(kind, root)) == expected
