"""One declaration of an option makes its flag, its check, its row in the docs and its part in a search's key."""

import dataclasses
import pathlib

import pytest
from absl import flags

from data.errors import UserError
from pipeline.cli import run
from tuner_fn import search_options
from tuner_fn.search_options import SearchConfig

DOCS = pathlib.Path(__file__).parents[3] / "docs" / "search.md"


def make(**changes) -> SearchConfig:
    given = {"strategy": "random", "min_epochs": 1, "factor": 2, "ranges": {"loss.l2": {}}, "seed": 0}
    return SearchConfig(**given | {"max_epochs": 4, "repeats": 1} | changes)


def test_the_table_in_the_docs_is_the_declared_one() -> None:
    assert search_options.table() in DOCS.read_text(encoding="utf-8"), "run `python -m tuner_fn.search_options`"


def test_each_option_is_a_flag_with_the_declared_default_and_help() -> None:
    values = flags.FlagValues()
    run.define_experiment_flags(values)
    for field in search_options.options():
        flag = values[field.name]
        assert flag.default == (None if field.default is dataclasses.MISSING else field.default)
        assert field.metadata["help"] in flag.help


@pytest.mark.parametrize("field", search_options.options(), ids=lambda field: field.name)
def test_a_value_on_the_wrong_side_of_a_limit_is_refused_by_name(field) -> None:
    low = field.metadata["low"]
    wrong = {"low": None if low is None else low - 1, "above": 0, "below": 1, "choices": "nothing"}
    declared = {limit: value for limit, value in wrong.items() if field.metadata[limit] is not None}
    if not field.metadata["choices"]():
        del declared["choices"]
    is_any_text = field.metadata["kind"] is str and not field.metadata["choices"]()
    assert declared or field.metadata["kind"] is bool or is_any_text
    for value in declared.values():
        with pytest.raises(UserError, match=f"`{field.name}"):
            make(**{field.name: value})


def test_what_does_not_decide_a_trial_is_not_in_the_key_and_all_else_is() -> None:
    assert set(search_options.not_deciding()) == {
        *search_options.BUDGETS,
        *(
            "max_trainings",
            "trial_timeout",
            "max_disk_gb",
            "repeats",
            "further_seeds",
            "min_confidence",
            "second_objective",
        ),
        "parallel_trials",
        *("ray", "trial_cpus", "trial_gpus"),
    }
