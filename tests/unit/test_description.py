"""The one sentence that says what the kit is for."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["docs/index.md", "mkdocs.yml", "setup.py", "pipeline/cli/main.py"])
def test_the_readmes_first_sentence_stands_wherever_the_kit_is_described(name) -> None:
    title, _, sentence = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:3]
    assert title == "# ssd-tuner"
    joined = re.sub(r'"\s+"', "", (ROOT / name).read_text(encoding="utf-8"))  # Python's literals over several lines
    assert sentence in joined
