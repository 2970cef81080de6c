"""ASHA promotes the top of a rung at once and never waits."""

import searching


def test_the_top_third_of_every_rung_goes_on(tmp_path) -> None:
    """Every decision is checked against algorithm 2: the highest rung with a promotable configuration comes first."""
    oracle = searching.make_oracle("asha", tmp_path, max_trials=60)
    results = {1: {}, 3: {}, 9: {}}  # {rung: {configuration: score}}
    promoted = {1: set(), 3: set()}
    for values in searching.run(oracle):
        key, expected = (values["rate"], values["share"]), None
        for rung in (3, 1):
            top = sorted(results[rung], key=lambda one: -results[rung][one])[: len(results[rung]) // 3]
            candidates = [one for one in top if one not in promoted[rung]]
            if candidates:
                expected = candidates[0], rung
                promoted[rung].add(candidates[0])
                break
        if expected is None:
            assert (values["tuner/initial_epoch"], values["tuner/epochs"]) == (0, 1)
        else:
            assert (key, values["tuner/initial_epoch"]) == expected
            assert values["tuner/epochs"] == 3 * expected[1]
        results[values["tuner/epochs"]][key] = searching.height(values)
    assert len(results[9]) >= 2


def test_free_workers_start_configurations_while_all_others_run(tmp_path) -> None:
    oracle = searching.make_oracle("asha", tmp_path)
    trials = [oracle.create_trial(f"tuner{number}") for number in range(50)]
    assert {trial.hyperparameters.values["tuner/epochs"] for trial in trials} == {1}


def test_failed_trials_are_the_worst_of_their_rung(tmp_path) -> None:
    """Two failures make the only success the top of three."""
    scores = iter([None, None, 0.1])
    oracle = searching.make_oracle("asha", tmp_path, max_trials=4)
    asked = searching.run(oracle, lambda values: next(scores, 0.1))
    assert [values.get("tuner/trial_id") for values in asked] == [None, None, None, "2"]


def test_the_lowest_rung_is_not_below_the_least_epochs(tmp_path) -> None:
    oracle = searching.make_oracle("asha", tmp_path, max_epochs=50, min_epochs=5, factor=3)
    assert oracle.rungs == [6, 17, 50]
