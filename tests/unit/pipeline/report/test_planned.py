"""The section of the plan: choices, and what no choice mends."""

import types

import pytest

from pipeline.report import planned
from pipeline.report.page_parts import Table, Text
from tuner_fn.plan import plan, rules

CHOICE = rules.Choice("model.head", "ssd", "why")


@pytest.mark.parametrize(
    ("choices", "notes", "kinds"),
    [
        ((CHOICE,), ("Mind this.",), [Text, Table]),
        ((), ("Mind this.",), [Text]),
        ((CHOICE,), (), [Table]),
        ((), (), []),
    ],
)
def test_the_section_shows_choices_and_notes(choices, notes, kinds) -> None:
    section = planned.make(types.SimpleNamespace(plan=plan.Plan(choices, {"model.head": "ssdlite"}, {}, notes)))
    assert [type(part) for part in section.parts] == kinds
    assert bool(section.missing) == (not kinds)
