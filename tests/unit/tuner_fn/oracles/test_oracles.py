"""One contract for every search strategy, by plain ask and tell."""

import math
from collections.abc import Callable

import keras_tuner
import numpy as np
import pytest

from data.errors import UserError
from models.hyperparameters import ExperimentConfig
from tuner_fn import oracles, search_space, strategies
from tuner_fn.early_stopping import keep_curve
from tuner_fn.oracles.configuration import Proposal

NAMES = ("optimizer.learning_rate", "anchors.min_scale", "augment.crop_probability")
MAX_EPOCHS = 4
# What keeps the runs short: few configurations before the population is full.
SETTINGS = {"evolution": {"population": 3, "sample": 2}}


def make_space() -> keras_tuner.HyperParameters:
    return search_space.make_search_space(ExperimentConfig(), search_space.pick({}, NAMES, ExperimentConfig()))


def make_larger_space(config: ExperimentConfig) -> keras_tuner.HyperParameters:
    ranges = search_space.pick({}, [*NAMES, "loss.l2"], config) | {"model.alpha": {"choices": [0.35, 1.0]}}
    return search_space.make_search_space(config, ranges)


def make_conditional_space() -> keras_tuner.HyperParameters:
    """Has 2 * 3 + 1 configurations: the depth counts only with a head."""
    space = keras_tuner.HyperParameters()
    space.Choice("head", ["none", "one", "two"], default="one")
    with space.conditional_scope("head", ["one", "two"]):
        space.Int("depth", 1, 3, default=2)
    return space


def make(name: str, folder, space: keras_tuner.HyperParameters | None = None, *, direction: str = "max", **settings):
    oracle = oracles.make_oracle(
        name,
        hyperparameters=space or make_space(),
        **{"objective": keras_tuner.Objective("val_AP", direction), "max_epochs": MAX_EPOCHS, "seed": 0}
        | {"max_trials": None}
        | SETTINGS.get(name, {})
        | settings,
    )
    oracle._set_project_dir(str(folder), "search")
    oracle.verbose = 0
    return oracle


def score(values) -> float:
    """Is best near a learning rate of 0.003, or with two heads and a depth of 3."""
    if "head" in values:
        return 0.1 * len(values["head"]) + values.get("depth", 0)
    return -abs(math.log(values["optimizer.learning_rate"] / 0.003))


def tell(oracle, trial, fails: bool = False) -> None:
    if fails:
        trial.status = "FAILED"
    else:
        sign = 1.0 if oracle.objective.direction == "max" else -1.0
        oracle.update_trial(trial.trial_id, {"val_AP": sign * score(trial.hyperparameters.values)})
        trial.status = "COMPLETED"
    oracle.end_trial(trial)


def run(oracle, fails: Callable[[int], bool] = lambda number: False) -> list[dict]:
    """Asks and tells until the oracle stops; returns the values of every trial in order."""
    asked = []
    while (trial := oracle.create_trial("tuner0")).status == "RUNNING":
        asked.append(dict(trial.hyperparameters.values))
        tell(oracle, trial, fails(len(asked) - 1))
    assert trial.status == "STOPPED"
    return asked


def run_parallel(oracle, workers: int) -> list[dict]:
    """Runs so many trials at once; the one that has run longest ends first."""
    asked, running = [], {}
    while True:
        idle = next(number for number in range(workers) if number not in running)
        trial = oracle.create_trial(f"tuner{idle}")
        if trial.status == "RUNNING":
            assert trial.hyperparameters.values.get("tuner/trial_id") not in [one.trial_id for one in running.values()]
            running[idle] = trial
            asked.append(dict(trial.hyperparameters.values))
        elif not running:
            assert trial.status == "STOPPED"
            return asked
        if len(running) == workers or trial.status != "RUNNING":
            tell(oracle, running.pop(next(iter(running))))


def configuration(values) -> tuple:
    return tuple(sorted((name, value) for name, value in values.items() if not name.startswith("tuner/")))


def started(asked) -> list[tuple]:
    return [configuration(values) for values in started_values(asked)]


def started_values(asked) -> list[dict]:
    return [values for values in asked if values["tuner/initial_epoch"] == 0]


def epochs(asked) -> int:
    return sum(values["tuner/epochs"] - values["tuner/initial_epoch"] for values in asked)


@pytest.mark.parametrize("name", [name for name in oracles.NAMES if name != "grid"])
def test_a_larger_space_goes_on_with_the_trials_of_a_smaller_one(name, tmp_path) -> None:
    """None is tried again, what is new varies, and a trial that continues keeps the values it began with."""
    config = ExperimentConfig()
    first = run(make(name, tmp_path, max_trials=6))
    oracle = make(name, tmp_path, make_larger_space(config), max_trials=18)
    oracle.reload()
    asked = first + run(oracle)
    assert len(asked) == 18
    complete = [{"loss.l2": config.loss.l2, "model.alpha": 1.0, **values} for values in asked]
    assert complete[6:] == asked[6:]
    assert len({values["loss.l2"] for values in started_values(asked[6:])}) >= 3
    assert {values["model.alpha"] for values in asked[6:]} == {0.35, 1.0}
    for values in complete[6:]:
        if "tuner/trial_id" in values:
            assert configuration(values) == configuration(complete[int(values["tuner/trial_id"])])
    assert len({configuration(values) for values in started_values(complete)}) == len(started_values(complete))


def test_each_strategy_has_an_oracle_that_takes_a_seed() -> None:
    for name in strategies.STRATEGIES:
        assert "seed" in oracles.options_of(name)


@pytest.mark.parametrize("name", oracles.NAMES)
@pytest.mark.parametrize("max_trials", [1, 7])
def test_it_ends_after_the_trials_asked_for_and_says_so(name, max_trials, tmp_path) -> None:
    oracle = make(name, tmp_path, max_trials=max_trials)
    assert oracle.planned_trials() == max_trials
    asked = run(oracle)
    assert len(asked) == oracle.max_trials == max_trials
    assert epochs(asked) <= oracle.planned_epochs() <= max_trials * MAX_EPOCHS
    assert oracle.end_reason == (
        "the 7 trials asked for are done" if max_trials == 7 else "the one trial asked for is done"
    )


@pytest.mark.parametrize("name", oracles.NAMES)
@pytest.mark.parametrize("budget", [3, 22])
def test_it_spends_its_epochs_exactly_and_says_so(name, budget, tmp_path) -> None:
    oracle = make(name, tmp_path, max_epochs_total=budget, **({"values_each": 2} if name == "grid" else {}))
    asked = run(oracle)
    assert epochs(asked) == budget == oracle.planned_epochs()
    assert len(asked) <= oracle.planned_trials() <= budget
    assert oracle.end_reason == f"the budget of {budget} epochs is spent"
    assert isinstance(oracle.max_trials, int)


@pytest.mark.parametrize("name", oracles.NAMES)
def test_a_new_configuration_trains_from_its_beginning_and_another_goes_on(name, tmp_path) -> None:
    asked = run(make(name, tmp_path, max_trials=12))
    for values in asked:
        parent = values.get("tuner/trial_id")
        before = 0 if parent is None else asked[int(parent)]["tuner/epochs"]
        assert values["tuner/initial_epoch"] == before < values["tuner/epochs"] <= MAX_EPOCHS
        assert parent is None or configuration(asked[int(parent)]) == configuration(values)


@pytest.mark.parametrize("name", oracles.NAMES)
@pytest.mark.parametrize("seed", [0, -5])
def test_any_seed_gives_the_same_sequence_again(name, seed, tmp_path) -> None:
    """Zero too, which Keras Tuner takes for "random"."""
    first = run(make(name, tmp_path / "a", seed=seed, max_trials=7))
    assert run(make(name, tmp_path / "b", seed=seed, max_trials=7)) == first
    for number, another in enumerate((seed + 1, seed + 2**32)):
        other = run(make(name, tmp_path / f"c{number}", seed=another, max_trials=7))
        assert (other == first) == (name == "grid")


@pytest.mark.parametrize("name", oracles.NAMES)
@pytest.mark.parametrize("space", [make_space, make_conditional_space])
def test_the_defaults_are_tried_first(name, space, tmp_path) -> None:
    asked = run(make(name, tmp_path, space(), max_trials=1))
    assert dict(configuration(asked[0])) == space().values


@pytest.mark.parametrize("name", oracles.NAMES)
@pytest.mark.parametrize("budget", [2 * MAX_EPOCHS - 1, 2 * MAX_EPOCHS, 22, None])
def test_the_defaults_are_trained_whole_at_once_where_there_is_room_for_another(name, budget, tmp_path) -> None:
    """Whoever asked for the search had them already: the others have to beat what they are in the end."""
    oracle = make(name, tmp_path, max_epochs_total=budget, **({"values_each": 2} if name == "grid" else {}))
    trial = oracle.create_trial("tuner0")
    is_whole = budget is not None and budget >= 2 * MAX_EPOCHS and name != "hyperband"
    assert trial.hyperparameters.values["tuner/epochs"] == (MAX_EPOCHS if is_whole else oracle.first_epochs())
    tell(oracle, trial)
    if budget is not None:
        assert epochs(run(oracle)) == budget - trial.hyperparameters.values["tuner/epochs"] > 0


@pytest.mark.parametrize("name", oracles.NAMES)
def test_a_search_that_its_start_ends_is_one_training_of_the_epochs_said(name, tmp_path) -> None:
    """Longer than any configuration of a search, and shorter."""
    for number in (7, 3):
        oracle = make(name, tmp_path / str(number))
        oracle.start_alone(number)
        assert (oracle.planned_trials(), oracle.planned_epochs()) == (1, number)
        (values,) = run(oracle)
        assert dict(configuration(values)) == make_space().values
        assert (values["tuner/initial_epoch"], values["tuner/epochs"]) == (0, number)
        assert oracle.end_reason == f"the budget of {number} epochs is spent"
        reloaded = make(name, tmp_path / str(number))
        reloaded.reload()
        reloaded.start_alone(number)
        assert (reloaded.planned_trials(), reloaded.planned_epochs()) == (1, number)
        assert reloaded.resumable() == run(reloaded) == []


@pytest.mark.parametrize("name", oracles.NAMES)
def test_a_budget_set_later_is_that_of_the_constructor(name, tmp_path) -> None:
    first, other = (
        make(name, tmp_path / part, **settings) for part, settings in (("a", {"max_epochs_total": 22}), ("b", {}))
    )
    assert not other.has_budget()
    other.set_budget(22)
    assert first.has_budget()
    assert other.has_budget()
    assert (first.planned_trials(), first.planned_epochs()) == (other.planned_trials(), other.planned_epochs())
    assert run(first) == run(other)


@pytest.mark.parametrize(("direction", "sign"), [("max", 1.0), ("min", -1.0)])
def test_the_scores_of_all_validated_epochs_are_known(tmp_path, direction, sign) -> None:
    """A training reports the last one; it keeps the others, and the configuration that continues has those of both."""
    oracle = make("asha", tmp_path, factor=2, direction=direction, max_trials=3)
    histories = [[{"AP": sign * one} for one in scores] for scores in ([0.5], [0.25], [0.5, 0.125])]
    for history in histories:
        trial = oracle.create_trial("tuner0")
        keep_curve(trial, history, "AP")
        oracle.update_trial(trial.trial_id, {"val_AP": history[-1]["AP"]})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    reloaded = make("asha", tmp_path, factor=2, direction=direction, max_trials=3)
    reloaded.reload()
    for one in (oracle, reloaded):
        one.trained()
        assert [known.curve for known in one.configurations] == [{1: 0.5, 2: 0.125}, {1: 0.25}]


@pytest.mark.parametrize("name", oracles.NAMES)
@pytest.mark.parametrize("workers", [1, 3])
def test_a_finite_space_is_gone_through_once_and_the_end_is_said(name, workers, tmp_path) -> None:
    """The depth is a parameter of two of the three heads only."""
    oracle = make(name, tmp_path, make_conditional_space(), max_trials=100)
    asked = run_parallel(oracle, workers)
    expected = [{"head": head, "depth": depth} for head in ("one", "two") for depth in (1, 2, 3)] + [{"head": "none"}]
    assert sorted(started(asked)) == sorted(map(configuration, expected))
    points = "points of the grid" if name == "grid" else "configurations of the space"
    assert oracle.end_reason == f"all 7 {points} were tried"


@pytest.mark.parametrize("name", oracles.NAMES)
def test_no_configuration_is_tried_twice(name, tmp_path) -> None:
    asked = run_parallel(make(name, tmp_path, max_trials=28), workers=2)
    assert len(asked) == 28
    assert len(set(started(asked))) == len(started(asked))


@pytest.mark.parametrize("name", oracles.NAMES)
@pytest.mark.parametrize("every", [1, 2, 3])
def test_failed_trials_do_not_end_the_search(name, every, tmp_path) -> None:
    """All, every second, every third."""
    oracle = make(name, tmp_path, max_trials=9)
    asked = run(oracle, fails=lambda number: number % every == 0)
    assert len(asked) == 9
    failed = [str(number) for number in range(0, 9, every)]
    assert not {values.get("tuner/trial_id") for values in asked}.intersection(failed)


@pytest.mark.parametrize("name", oracles.NAMES)
def test_a_search_reloaded_after_every_trial_goes_on_as_if_never_stopped(name, tmp_path) -> None:
    def fails(number: int) -> bool:
        return number == 3

    whole = make(name, tmp_path / "whole", make_conditional_space(), max_trials=10)
    expected, asked = run(whole, fails), []
    while True:
        oracle = make(name, tmp_path / "cut", make_conditional_space(), max_trials=10)
        if asked:
            oracle.reload()
        trial = oracle.create_trial("tuner0")
        if trial.status != "RUNNING":
            break
        asked.append(dict(trial.hyperparameters.values))
        tell(oracle, trial, fails(len(asked) - 1))
        oracle.save()  # as a tuner does after every trial
    assert asked == expected
    assert oracle.end_reason == whole.end_reason


@pytest.mark.parametrize("name", oracles.NAMES)
def test_a_search_reloaded_while_others_run_proposes_the_same(name, tmp_path) -> None:
    """Three workers, of which the middle one always ends first; every fourth trial fails."""
    oracle, running = make(name, tmp_path, max_trials=12), []
    while len(oracle.trials) < 12:
        reloaded = make(name, tmp_path, max_trials=12)
        if oracle.trials:
            reloaded.reload()
        trial_id = f"{len(oracle.trials):02}"
        expected = reloaded.populate_space(trial_id)
        trial = oracle.create_trial(f"tuner{trial_id}")
        if trial.status != "RUNNING":
            assert name == "grid"  # nine points
            break
        assert trial.hyperparameters.values == expected["values"]
        running.append(trial)
        if len(running) == 3:
            trial = running.pop(1)
            tell(oracle, trial, fails=int(trial.trial_id) % 4 == 3)
            oracle.save()


@pytest.mark.parametrize("name", oracles.NAMES)
def test_a_search_reloaded_while_trials_run_gives_them_out_again(name, tmp_path) -> None:
    """Two trials run when the search is killed; both are done afterwards, then new ones."""
    oracle = make(name, tmp_path, max_trials=9)
    tell(oracle, oracle.create_trial("tuner0"))
    running = [oracle.create_trial(worker) for worker in ("tuner0", "tuner1")]
    reloaded = make(name, tmp_path, max_trials=9)
    reloaded.reload()
    again = [reloaded.create_trial(worker) for worker in ("tuner0", "tuner1")]
    assert sorted(trial.trial_id for trial in again) == sorted(trial.trial_id for trial in running)
    for trial in again:
        tell(reloaded, trial)
    run(reloaded)
    asked = [reloaded.trials[trial_id].hyperparameters.values for trial_id in reloaded.start_order]
    assert len(asked) == 9
    assert len(set(started(asked))) == len(started(asked))


@pytest.mark.parametrize("name", oracles.NAMES)
def test_what_is_minimised_is_maximised_with_the_other_sign(name, tmp_path) -> None:
    assert run(make(name, tmp_path / "min", direction="min", max_trials=8)) == run(
        make(name, tmp_path / "max", max_trials=8)
    )


@pytest.mark.parametrize("name", oracles.NAMES)
def test_only_some_strategies_end_by_themselves(name, tmp_path) -> None:
    oracle = make(name, tmp_path)
    if name in ("grid", "hyperband"):
        asked = run(oracle)
        assert (len(asked), epochs(asked)) == (oracle.planned_trials(), oracle.planned_epochs())
    else:
        assert oracle.planned_trials() is oracle.planned_epochs() is None
    assert isinstance(oracle.max_trials, int)  # TFX's Tuner component reads it


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("hyperbrand", {}, "Unknown search `hyperbrand`. Did you mean `hyperband`?"),
        ("asha", {"faktor": 2}, "`faktor` is not an option of the search `asha`. Did you mean `factor`?"),
        (
            "bayesian",
            {"min_epochs": 2},
            "`min_epochs` is not an option of the search `bayesian`. Did you mean `max_epochs`?",
        ),
        (
            "random",
            {"objective": [keras_tuner.Objective("val_AP", "max"), keras_tuner.Objective("seconds", "min")]},
            "`objective` must be one metric: got several. Let training report what should count.",
        ),
        ("random", {"max_trials": 0}, "`max_trials` must be at least 1: got 0."),
        ("random", {"max_epochs_total": 0}, "`max_epochs_total` must be at least 1: got 0."),
        ("random", {"max_epochs": 0}, "`max_epochs` must be at least 1: got 0."),
        ("grid", {"values_each": 1}, "`values_each` must be at least 2: got 1."),
        ("hyperband", {"min_epochs": 5}, "`min_epochs` must be from 1 to 4: got 5."),
        ("asha", {"factor": 1}, "`factor` must be at least 2: got 1."),
        ("evolution", {"population": 5, "sample": 6}, "`sample` must be from 1 to 5: got 6."),
    ],
)
def test_a_wrong_name_or_option_is_one_clear_error(name, options, message, tmp_path) -> None:
    with pytest.raises(UserError) as error:
        make(name, tmp_path, **options)
    assert str(error.value) == message


def test_only_a_donor_of_the_same_backbone_gives_its_weights(tmp_path) -> None:
    config = ExperimentConfig()
    ranges = search_space.pick({}, [*NAMES, "model.backbone"], config)
    oracle = make("random", tmp_path, search_space.make_search_space(config, ranges), max_trials=12)
    asked = []
    while (trial := oracle.create_trial("tuner0")).status == "RUNNING":
        asked.append(dict(trial.hyperparameters.values))
        tell(oracle, trial)
        oracle.donors = frozenset(oracle.trained())
    backbones = [values["model.backbone"] for values in asked]
    donors = [values.get("tuner/inherited") for values in asked]
    assert [donor is None for donor in donors] == [backbones.index(one) == n for n, one in enumerate(backbones)]
    assert all(backbones[int(donor)] == one for donor, one in zip(donors, backbones, strict=True) if donor is not None)


def test_of_equally_near_donors_the_better_one_gives_its_weights(tmp_path) -> None:
    """Values of an unordered choice are all equally far from one another."""
    space = keras_tuner.HyperParameters()
    space.Choice("head", ["one", "three", "none", "two", "fourteen"], default="one")
    oracle = make("grid", tmp_path, space)
    found = []
    for _ in range(4):
        trial = oracle.create_trial("tuner0")
        found.append(trial.hyperparameters.values.get("tuner/inherited"))
        tell(oracle, trial)
        oracle.donors = frozenset(oracle.trained())
    scores = [0.1 * len(oracle.trials[trial].hyperparameters.values["head"]) for trial in oracle.start_order]
    best = [max(range(n), key=lambda other: (scores[other], -other)) for n in range(1, 4)]
    assert found == [None, *(oracle.start_order[n] for n in best)]
    assert len(set(best)) > 1


def test_a_configuration_that_was_tried_is_known_by_the_genes_it_was_drawn_with(tmp_path) -> None:
    """A value's gene differs from the one that the value was made from in its last digits."""
    oracle = make("random", tmp_path, max_trials=100)
    drawn = oracle.space.sample(np.random.default_rng(0), 30)
    for genes in drawn:
        oracle.propose = lambda rng, genes=genes: Proposal(oracle.space.values(genes), MAX_EPOCHS)
        tell(oracle, oracle.create_trial("tuner0"))
    assert not len(oracle.not_tried(drawn[1:]))  # the first trial had the defaults
