"""Trials on a real Ray cluster: a head and two nodes on this machine; training is a formula."""

import dataclasses
import functools
import pathlib
import shutil
import signal
import socket
import threading
import time
import types

import keras_tuner
import pytest
import ray
from ray._private import state
from ray.cluster_utils import Cluster

from data import progress
from data.errors import UserError
from models.hyperparameters import ExperimentConfig
from models.training import devices
from tests import fake_training, tuning
from tuner_fn import parallel_trials, ray_cluster, ray_connection, worker
from tuner_fn.supervisor import TrainingProcess

EACH = ray_connection.Reserved(cpus=1, gpus=0.0)
NODE = {"num_cpus": 1, "object_store_memory": 80_000_000}


@pytest.fixture(scope="module")
def cluster():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(pathlib.Path(__file__).parents[2]))  # where `tests` is
        patch.setenv("FAKE_EPOCH_S", "0.2")
        started = Cluster(initialize_head=True, head_node_args=NODE | {"num_cpus": 0, "include_dashboard": False})
        for _ in range(2):
            started.add_node(**NODE)
        handler = signal.getsignal(signal.SIGTERM)
        ray_connection.connect(started.address)
        assert signal.getsignal(signal.SIGTERM) is handler  # which saves what was done
        yield started
        ray.shutdown()
        started.shutdown()


@pytest.fixture
def processes(tmp_path, cluster):
    made = ray_cluster.make_processes(tmp_path, 2, EACH, "tests.fake_training")
    yield list(made)
    for process in made:
        process.close()


def job(checkpoint: pathlib.Path, epochs: int) -> worker.Job:
    return worker.Job(
        settings=ExperimentConfig().to_dict(),
        class_names=("car",),
        train_files=(),
        val_files=(),
        epochs=epochs,
        schedule_epochs=epochs,
        validate_at=(epochs,),
        checkpoint=str(checkpoint),
    )


def test_a_search_on_the_cluster_is_what_its_journal_says_on_one_machine(tmp_path, processes) -> None:
    settings = {"max_trials": None, "max_epochs_total": 40, "max_epochs": 4, "repeats": 2, "config": ExperimentConfig()}
    there = tuning.search(tuning.make(tmp_path / "there", processes, "asha", **settings))
    (tmp_path / "here" / "search").mkdir(parents=True)
    shutil.copy(tmp_path / "there" / "search" / "journal.jsonl", tmp_path / "here" / "search")
    own = TrainingProcess(tmp_path / "own.log", training="tests.fake_training")
    here = tuning.search(tuning.make(tmp_path / "here", [own], "asha", **settings))
    names = ("trial", "score", "epochs", "parent", "status", "mean", "seeds", "confidence")
    assert len(there) > 8
    assert [[row[name] for name in names] for row in there] == [[row[name] for name in names] for row in here]


def test_a_node_that_is_lost_costs_its_training_an_epoch(tmp_path, cluster, processes) -> None:
    """Without a node in its place it goes on, from its last epoch, where the other training has ended."""
    epochs, notes = 30, []
    reports: list[list[int]] = [[], []]

    def train(number: int, process: ray_cluster.RayTrainingProcess) -> list[dict[str, float]]:
        return process.train(
            job(tmp_path / f"state_{number}", epochs), lambda report: reports[number].append(report["epoch"])
        )

    def lose_a_node() -> None:
        deadline_s = time.monotonic() + 120
        while min(map(len, reports)) < 3 and time.monotonic() < deadline_s:
            time.sleep(0.1)
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)

    loss = threading.Thread(target=lose_a_node)
    loss.start()
    with progress.listen(lambda kind, fields: notes.append(fields["text"]) if kind == "note" else None):
        works = [functools.partial(train, number) for number in range(2)]
        histories = parallel_trials.run_all(works, processes)
    loss.join()
    cluster.add_node(**NODE)
    assert [[report["epoch"] for report in history] for history in histories] == [list(range(1, epochs + 1))] * 2
    assert all(own == sorted(set(own)) for own in reports)  # no epoch is told twice
    (said,) = (note for note in notes if not note.startswith("Waiting for the Ray cluster"))  # as on a slow machine
    assert said.startswith("A training on the Ray cluster was lost")
    trained = [(tmp_path / f"worker_{number}.log").read_text().count("epoch trained") for number in (1, 2)]
    assert sorted(trained)[0] == epochs
    assert epochs <= sorted(trained)[1] <= epochs + 1


def test_a_training_that_ray_sends_to_a_node_just_lost_waits_for_another(tmp_path, cluster, processes) -> None:
    """Ray notices a node's loss after some seconds; that no training began there is not the training's fault."""
    processes[0].train(job(tmp_path / "holds_its_place", 1))
    free = {node for node, resources in state.available_resources_per_node().items() if resources.get("CPU")}
    (lost,) = (node for node in cluster.worker_nodes if node.node_id in free)
    cluster.remove_node(lost, allow_graceful=False)
    notes, reports = [], []
    with progress.listen(lambda kind, fields: notes.append(fields["text"]) if kind == "note" else None):
        work = threading.Thread(target=processes[1].train, args=(job(tmp_path / "sent_there", 2), reports.append))
        work.start()
        time.sleep(3.0)
        cluster.add_node(**NODE)
        work.join()
    assert [report["epoch"] for report in reports] == [1, 2]
    assert [text for text in notes if "was lost" in text] == []


def test_a_trial_that_fails_or_is_given_up_on_a_node_is_so_in_the_search(tmp_path, processes) -> None:
    bad = ExperimentConfig().replace({"optimizer.learning_rate": fake_training.rate("diverges")}).to_dict()
    one = job(tmp_path / "state", 3)
    with pytest.raises(keras_tuner.errors.FailedTrialError, match="DivergedError"):
        processes[0].train(dataclasses.replace(one, settings=bad))
    with pytest.raises(keras_tuner.errors.FailedTrialError, match="took longer than 1 s"):
        processes[0].train(job(tmp_path / "long", 600), timeout_s=1.0)
    assert [report["epoch"] for report in processes[0].train(one)] == [1, 2, 3]


def test_more_trials_than_the_nodes_hold_are_refused(cluster) -> None:
    assert ray_connection.check_room(None, ray_connection.reserved(1, None)) == 2
    with pytest.raises(UserError, match=r"^`parallel_trials=3`: the Ray cluster has room for 2 trials, each with"):
        ray_connection.check_room(3, EACH)
    with pytest.raises(UserError, match=r"^No node of the Ray cluster has room for a trial: each gets .* 0\.5 GPUs"):
        ray_connection.check_room(None, ray_connection.Reserved(1, 0.5))


@pytest.mark.parametrize(("gpus", "trials"), [(0.0, 4), (0.4, 4), (0.5, 4), (0.25, 4), (1.0, 2), (2.0, 1), (3.0, 0)])
def test_a_trial_has_its_part_of_one_gpu(gpus, trials) -> None:
    """Of two, in a node of four CPUs."""
    assert ray_connection.Reserved(1, gpus).fits({"CPU": 4.0, "GPU": 2.0}) == trials
    with pytest.raises(UserError, match=r"^`--trial_gpus=1\.5`: Ray reserves whole GPUs, or a part of one"):
        ray_connection.reserved(1, 1.5)


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [
        (0.5, {devices.TRIAL_GPUS: "0.5"}),
        (0.0, {"CUDA_VISIBLE_DEVICES": "-1", "TF_NUM_INTRAOP_THREADS": "2"}),
    ],
)
def test_a_worker_knows_that_ray_reserved_its_gpu(monkeypatch, gpus, expected) -> None:
    """Ray sets CUDA's variable, too, and what asks for the GPU is `--trial_gpus`."""
    given: dict = {}
    monkeypatch.setattr(ray, "get_runtime_context", lambda: types.SimpleNamespace(get_node_id=lambda: "a"))
    monkeypatch.setattr(ray, "nodes", lambda: [{"NodeID": "a", "Resources": {"CPU": 4.0, "GPU": 1.0}}])
    monkeypatch.setattr(ray_cluster, "TrainingProcess", lambda log, **options: given.update(options))
    ray_cluster._Node("log", "training", ray_connection.Reserved(2, gpus), 1, {})
    assert given["environment"] == expected


def test_every_node_has_this_code_and_sees_the_folder(tmp_path, cluster) -> None:
    ray_connection.check_nodes(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"word": None}, r"^Ray's node n does not see /runs/s: --workdir has to lie on storage that all nodes share"),
        ({"tensorflow": "2.20.0"}, r"^Ray's node n has another tensorflow: 2\.20\.0, and here is 2"),
        ({"code of this package": "0.0 (abc)"}, r"^Ray's node n has another code of this package: 0\.0 \(abc\)"),
    ],
)
def test_a_node_that_differs_is_named(tmp_path, changes, text) -> None:
    (tmp_path / "word").write_text("word")
    own = ray_connection._look(str(tmp_path / "word"), "")
    ray_connection._compare("n", own, own, pathlib.Path("/runs/s"))
    with pytest.raises(UserError, match=text):
        ray_connection._compare("n", own | changes, own, pathlib.Path("/runs/s"))


@pytest.mark.parametrize("address", ["head", "ray://head:10001", ":6379", "head:"])
def test_an_address_needs_host_and_port(address) -> None:
    with pytest.raises(UserError, match=rf"^`--ray={address}` needs HOST:PORT"):
        ray_connection._check_answers(address)


def test_a_cluster_that_does_not_answer_is_one_line() -> None:
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(UserError, match=rf"^`--ray=localhost:{port}`: no Ray cluster answers there"):
        ray_connection._check_answers(f"localhost:{port}")


@pytest.mark.parametrize("by_variable", [False, True])
def test_a_port_that_stays_silent_is_given_up_after_10_seconds(monkeypatch, by_variable) -> None:
    with socket.create_server(("localhost", 0)) as server:
        address = f"localhost:{server.getsockname()[1]}"
        asked, text = address, f"`--ray={address}`"
        if by_variable:
            monkeypatch.setenv("RAY_ADDRESS", address)
            asked, text = ray_connection.AUTO, f"`--ray=auto` with `RAY_ADDRESS={address}`"
        began_s = time.monotonic()
        with pytest.raises(UserError, match=rf"^{text}: no Ray cluster was joined \(no answer within 10 s\)"):
            ray_connection._check_answers(asked)
    assert time.monotonic() - began_s < 40  # Ray's own import included; Ray alone would go on for longer


def test_leaving_a_cluster_does_not_count_as_its_patience(monkeypatch, tmp_path) -> None:
    """Ray's own functions at exit may take seconds."""
    (tmp_path / "ray.py").write_text("import atexit, time\ndef init(address): atexit.register(time.sleep, 60)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    began_s = time.monotonic()
    ray_connection._check_answers(ray_connection.AUTO)
    assert time.monotonic() - began_s < 10


def test_why_a_cluster_cannot_be_joined_is_said(monkeypatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "nowhere:x")
    with pytest.raises(UserError, match=r"no Ray cluster was joined \(.*nowhere:x.*\)") as caught:
        ray_connection._check_answers(ray_connection.AUTO)
    assert "\n" not in str(caught.value)


def test_a_cluster_that_goes_after_it_answered_is_one_line(monkeypatch) -> None:
    def gone(**_: object) -> None:
        raise ConnectionError("the head\nhas gone.")

    monkeypatch.setattr(ray_connection, "_check_answers", lambda address: None)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", gone)
    with pytest.raises(UserError, match=r"^`--ray=h:1`: no Ray cluster was joined \(the head has gone\)\. Give"):
        ray_connection.connect("h:1")
