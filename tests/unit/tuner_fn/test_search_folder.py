"""A search continues in its folder, in a copy of one of a smaller space, or says why it starts anew."""

import json

import pytest

from data import dataset_info, progress
from models.hyperparameters import ExperimentConfig
from tuner_fn import objectives, presets, search_folder, search_space

TRIALS = {"code": "0", "versions": {}, "weights": {}}
RANGES = {
    "optimizer.learning_rate": {"low": 0.001, "high": 0.01, "scale": "log"},
    "model.alpha": {"choices": [0.35, 1.0]},
}


def make_parts(ranges=RANGES, config=None, **search) -> search_folder.Parts:
    settings = (config or ExperimentConfig()).to_dict()
    search = {"strategy": "random", "seed": 0, "ranges": ranges, **search}
    parts = {"dataset": ["1", ["car"]], "settings": settings, "search": search, "code": "0", "versions": {}}
    return json.loads(json.dumps(parts))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"loss.l2": {"low": 1e-6, "high": 1e-3, "scale": "log"}}, True),
        ({"model.alpha": {"choices": [1.0, 0.5, 0.35]}}, True),
        ({"optimizer.learning_rate": {"low": 0.0005, "high": 0.01, "scale": "log"}}, True),
        ({"augment.flip_probability": {"low": 0.0, "high": 1.0, "scale": "linear"}}, True),
        ({"optimizer.weight_decay": {"low": 1e-5, "high": 0.1, "scale": "log"}}, False),  # the trials had 0
        ({"model.alpha": {"choices": [1.0]}}, False),
        ({"model.alpha": {"low": 0.3, "high": 1.2, "scale": "linear"}}, False),
        ({"optimizer.learning_rate": {"low": 0.002, "high": 0.01, "scale": "log"}}, False),
        ({"optimizer.learning_rate": {"low": 0.001, "high": 0.01, "scale": "linear"}}, False),
    ],
)
def test_a_space_extends_another_if_it_holds_every_trial_of_it(changes, expected) -> None:
    assert search_folder.extends(make_parts(RANGES | changes), make_parts()) is expected


def test_only_the_space_may_differ_and_it_may_lose_nothing() -> None:
    larger = RANGES | {"loss.l2": {"low": 1e-6, "high": 1e-3, "scale": "log"}}
    assert not search_folder.extends(make_parts(), make_parts(larger))
    assert not search_folder.extends(make_parts(larger, seed=1), make_parts())
    other = ExperimentConfig().replace({"model.alpha": 0.5})
    assert not search_folder.extends(make_parts(larger, other), make_parts())
    assert not search_folder.extends(make_parts(larger) | {"code": "1"}, make_parts())
    assert not search_folder.extends(make_parts(larger, strategy="grid"), make_parts(strategy="grid"))


def test_another_objective_is_another_search() -> None:
    ranges = search_space.pick({}, ["loss.l2"], ExperimentConfig())
    info = dataset_info.DatasetInfo("road_scenes", "1", ("car",), {}, {}, {}, max_boxes=1)
    keys = set()
    for objective in objectives.every():
        config = presets.search(presets.get_preset("quick"), "random", ranges, 0, epochs=4, objective=objective)
        about = {"config": {"model": {}}, "search": config.to_dict(), "trials": TRIALS}
        keys.add(search_folder.search_key(search_folder.search_parts(info, about)))
    assert len(keys) == len(objectives.every())


def test_a_damaged_description_is_named_and_set_aside(tmp_path) -> None:
    """The new search starts as if the other were not there; the other one's description is written again by itself."""
    notes: list[str] = []
    folder, logs = tmp_path / "search", tmp_path / "logs"
    with progress.listen(lambda kind, fields: notes.append(fields["text"])):
        search_folder.prepare(folder / "a", logs, make_parts())
        (folder / "a" / "search.json").write_text('{"dataset": [')
        search_folder.prepare(folder / "b", logs, make_parts(seed=1))
        search_folder.prepare(folder / "a", logs, make_parts())
    (note,) = notes
    assert note.startswith(f"{folder / 'a' / 'search.json'} is damaged")
    assert (folder / "a" / "search.json.damaged").read_text() == '{"dataset": ['
    assert json.loads((folder / "a" / "search.json").read_text()) == make_parts()


def test_a_larger_space_begins_with_a_copy_and_leaves_the_old_search_alone(tmp_path) -> None:
    notes: list[str] = []
    folder, logs = tmp_path / "search", tmp_path / "logs"
    larger = make_parts(RANGES | {"loss.l2": {"low": 1e-6, "high": 1e-3, "scale": "log"}})
    with progress.listen(lambda kind, fields: notes.append(fields["text"])):
        search_folder.prepare(folder / "a", logs, make_parts())
        (folder / "a" / "trial_0").mkdir()
        (folder / "a" / "trial_0" / "state.npz").write_bytes(b"state")
        (folder / "a" / "worker.log").write_text("old\n")
        (logs / "search_1").mkdir(parents=True)
        (logs / "search_1" / "events").write_bytes(b"events")
        search_folder.prepare(folder / "other", logs, make_parts(seed=1))
        (folder / ".b.tmp").mkdir()  # a copy that was interrupted
        (folder / ".b.tmp" / "half").touch()
        search_folder.prepare(folder / "b", logs, larger)
        search_folder.prepare(folder / "b", logs, larger)
    assert json.loads((folder / "b" / "search.json").read_text()) == larger
    assert json.loads((folder / "a" / "search.json").read_text()) == make_parts()
    assert sorted(one.name for one in folder.iterdir()) == ["a", "b", "other"]
    assert (folder / "b" / "trial_0" / "state.npz").read_bytes() == b"state"
    assert (logs / "search_3" / "events").read_bytes() == b"events"
    names = {name: search_folder.prepare(folder / name, logs, make_parts()).name for name in ("a", "other", "b")}
    assert names == {"a": "search_1", "other": "search_2", "b": "search_3"}
    assert not (folder / "b" / "half").exists()
    with open(folder / "b" / "worker.log", "a") as log:
        log.write("new\n")
    assert (folder / "a" / "worker.log").read_text() == "old\n"
    assert notes == [
        f"A new search starts, because this changed: search: seed 0 -> 1. The one before stays in {folder / 'a'}.",
        f"The space is larger: the search continues with the trials of {folder / 'a'}, which stays as it is.",
    ]


def test_a_copy_that_a_kill_cut_short_is_no_search_to_go_on_with(tmp_path) -> None:
    folder, logs = tmp_path / "search", tmp_path / "logs"
    search_folder.prepare(folder / "b", logs, make_parts())
    search_folder.prepare(folder / ".c.tmp", logs, make_parts())  # newer, and all that differs is the name
    for name in ("b", ".c.tmp"):
        (folder / name / "from").write_text(name)
    larger = make_parts(RANGES | {"loss.l2": {"low": 1e-6, "high": 1e-3, "scale": "log"}})
    search_folder.prepare(folder / "c", logs, larger)
    assert (folder / "c" / "from").read_text() == "b"


def test_weights_count_by_their_content_wherever_they_lie() -> None:
    info = dataset_info.DatasetInfo("road_scenes", "1", ("car",), {}, {}, {}, max_boxes=1)
    ranges = search_space.pick({}, ["loss.l2"], ExperimentConfig())
    search = presets.search(presets.get_preset("quick"), "random", ranges, 0, epochs=4).to_dict()

    def key(path: str, digest: str) -> str:
        config = ExperimentConfig().replace({"model.weights": path}).to_dict()
        about = {"config": config, "search": search, "trials": TRIALS | {"weights": {"weights": digest}}}
        return search_folder.search_key(search_folder.search_parts(info, about))

    assert key("a/weights.npz", "1") == key("b/weights.npz", "1") != key("a/weights.npz", "2")


def test_a_search_of_an_older_kit_is_left_alone_and_named(tmp_path) -> None:
    notes: list[str] = []
    folder, logs = tmp_path / "search", tmp_path / "logs"
    older = {name: value for name, value in make_parts().items() if name != "versions"}
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "search.json").write_text(json.dumps(older))
    with progress.listen(lambda kind, fields: notes.append(fields["text"])):
        search_folder.prepare(folder / "b", logs, make_parts())
    assert notes == [
        f"A new search starts, because this changed: versions: another one. The one before stays in {folder / 'a'}."
    ]
    assert json.loads((folder / "a" / "search.json").read_text()) == older


def test_what_changed_is_said_field_by_field() -> None:
    before = {"loss": {"l2": 0.1, "gamma": 2}, "ranges": {"a": {"low": 1, "high": 2}, "b": {"choices": [1]}}}
    now = {"loss": {"l2": 0.2, "gamma": 2}, "ranges": {"a": {"low": 1, "high": 3}, "c": {"choices": [1]}}}
    text = (
        "loss.l2 0.1 -> 0.2, ranges.a {'low': 1, 'high': 2} -> {'low': 1, 'high': 3}, ranges.c new, ranges.b left out"
    )
    assert search_folder.differences(before, now) == text
    assert search_folder.differences("a1", "b2") == "another one"
    many = ({str(n): side for n in range(8)} for side in (0, 1))
    assert search_folder.differences(*many).endswith("4 0 -> 1 and 3 more")
