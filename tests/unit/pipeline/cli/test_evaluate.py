"""`ssd-tuner evaluate`, as a user types it."""

import json
import math

import pytest

from benchmarks import evaluation
from data import errors, progress, sources
from models.evaluation import coco, spatial_recall
from pipeline.cli import evaluate
from pipeline.cli import main as command_line
from tests import tiny_detector

CLASS_NAMES = ["person", "bicycle", "car"]
NUM_IMAGES = 30


@pytest.fixture(autouse=True)
def _start_up_environment(monkeypatch):
    """Undoes what importing TFX in an earlier test did: tensorflow_transform switches legacy Keras on."""
    monkeypatch.delenv("TF_USE_LEGACY_KERAS", raising=False)


@pytest.fixture(scope="module")
def results():
    return evaluation.random_results(8, NUM_IMAGES, detections=6, height=48, width=64)


@pytest.fixture(scope="module")
def model_dir(results, tmp_path_factory):
    return tiny_detector.export(tmp_path_factory.mktemp("models") / "1", results, CLASS_NAMES)


@pytest.fixture
def dataset(results, tmp_path, monkeypatch):
    """Writes the results' ground truth as the test split of a COCO folder, its classes in another order."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "dataset"
    (folder / "test").mkdir(parents=True)
    category_ids = {"car": 1, "person": 2, "bicycle": 3}
    images, annotations = [], []
    for number, (result, encoded) in enumerate(zip(results, tiny_detector.images_of(results), strict=True)):
        name = f"{number:03d}.png"
        (folder / "test" / name).write_bytes(encoded)
        images.append({"id": number, "file_name": name, "height": result.height, "width": result.width})
        for box, label, crowd, area_px in zip(
            result.gt_boxes, result.gt_labels, result.gt_is_crowd, result.gt_area_px, strict=True
        ):
            ymin, xmin, ymax, xmax = (float(side) for side in box)
            bbox = [
                xmin * result.width,
                ymin * result.height,
                (xmax - xmin) * result.width,
                (ymax - ymin) * result.height,
            ]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": category_ids[CLASS_NAMES[label]],
                    "bbox": bbox,
                    "area": float(area_px),
                    "iscrowd": int(crowd),
                }
            )
    categories = [{"id": key, "name": name} for name, key in category_ids.items()]
    table = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "test.json").write_text(json.dumps(table))
    return folder


def _evaluate(model_dir, dataset, *flags) -> int:
    return command_line.main(["evaluate", f"--model={model_dir}", f"--dataset=coco:{dataset}", *flags])


def test_numbers_are_coco_metrics_whatever_the_order_of_the_classes(results, model_dir, dataset, tmp_path, capfd):
    status = _evaluate(model_dir, dataset, "--output=out/metrics.json")
    printed = capfd.readouterr().out
    assert status == 0, printed
    report = json.loads((tmp_path / "out" / "metrics.json").read_text())
    expected = coco.coco_metrics(results, CLASS_NAMES)
    assert list(report["metrics"]) == list(expected)
    for name, value in report["metrics"].items():
        # Boxes went through COCO's pixels as text and back to float32.
        assert (math.nan if value is None else value) == pytest.approx(expected[name], abs=1e-6, nan_ok=True)
    assert (report["split"], report["num_images"], report["max_detections"]) == ("test", NUM_IMAGES, 100)
    assert f"split test, {NUM_IMAGES} images, at most 100 detections an image\n" in printed
    assert "bicycle" in printed


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({}, {"splits": (0.6, 0.2, 0.2), "split_seed": 3}),
        ({"limit": 5}, {"splits": (0.6, 0.2, 0.2), "split_seed": 3, "limit": 5}),
        ({"splits": (0.8, 0.1, 0.1)}, {"splits": (0.8, 0.1, 0.1)}),  # the user's word
    ],
)
def test_the_data_of_the_training_is_divided_as_for_it(tmp_path, dataset, given, taken):
    """Another division would score the model on what it was trained on."""
    own = sources.DataOptions(splits=(0.6, 0.2, 0.2), split_seed=3, limit=7).to_dict()
    (tmp_path / "model" / "assets.extra").mkdir(parents=True)
    # It was trained from another folder: what was typed there means nothing here.
    about = {"dataset": {"spec": "coco:street"}, "dataset_path": f"coco:{dataset}", "options": own}
    (tmp_path / "model" / "assets.extra" / "training.json").write_text(json.dumps(about))
    notes = []
    with progress.listen(lambda kind, fields: notes.append(fields["text"])):
        found = evaluate.divided_as_trained(str(dataset), sources.DataOptions(**given), str(tmp_path / "model"))
        assert evaluate.divided_as_trained("road_scenes", sources.DataOptions(), str(tmp_path / "model")) == (
            sources.DataOptions()
        )
    assert found == sources.DataOptions(**taken)
    said = ["The data is divided as for the model's training: --splits=0.6,0.2,0.2 --split_seed=3"]
    assert notes == ([] if "splits" in given else said)


def test_recall_by_position_lies_beside_the_numbers(results, model_dir, dataset, tmp_path, capfd):
    assert _evaluate(model_dir, dataset, "--output=out/numbers.json", "--min_score=0.5") == 0
    assert "out/numbers_spatial_recall.png" in "".join(capfd.readouterr().out.split())
    found = spatial_recall.SpatialRecall.from_bytes((tmp_path / "out" / "numbers_spatial_recall.npz").read_bytes())
    wanted = spatial_recall.spatial_recall(results, CLASS_NAMES, 0.5)
    order = [list(found.names).index(name) for name in wanted.names]  # the dataset has them in another order
    assert [counts[order].tolist() for counts in found.totals()] == [counts.tolist() for counts in wanted.totals()]
    written = json.loads((tmp_path / "out" / "numbers.json").read_text())["spatial_recall"]
    assert written["min_score"] == 0.5
    assert written["groups"][0]["objects"] == int(wanted.totals()[1][0])
    assert (tmp_path / "out" / "numbers_spatial_recall.png").read_bytes().startswith(b"\x89PNG")


def test_a_number_without_ground_truth_is_null_in_the_file_and_words_on_the_screen(model_dir, dataset, tmp_path, capfd):
    assert _evaluate(model_dir, dataset) == 0
    report = json.loads((tmp_path / "metrics.json").read_text())
    assert report["metrics"]["AP_large"] is None  # 48x64 px images have no object above 96x96 px
    assert "no ground truth" in capfd.readouterr().out


def test_some_classes_can_be_scored_alone(results, model_dir, dataset, tmp_path):
    assert _evaluate(model_dir, dataset, "--classes=car") == 0
    report = json.loads((tmp_path / "metrics.json").read_text())
    expected = coco.coco_metrics(results, CLASS_NAMES)
    assert report["class_names"] == ["car"]
    assert report["metrics"]["AP"] == pytest.approx(expected["AP/car"], abs=1e-6)


def test_a_missing_test_split_is_the_one_that_a_run_takes_out_of_train(model_dir, dataset, tmp_path, capfd):
    (dataset / "test").rename(dataset / "train")
    (dataset / "test.json").rename(dataset / "train.json")
    assert _evaluate(model_dir, dataset) == 0
    assert json.loads((tmp_path / "metrics.json").read_text())["num_images"] == 8
    assert "has no val and no test: 8 of its 30 train images become val and 8 test (seed 0;" in capfd.readouterr().out


def test_a_bad_example_is_left_out_and_listed(model_dir, dataset, tmp_path, capfd):
    (dataset / "test" / "004.png").write_bytes(b"")
    assert _evaluate(model_dir, dataset) == 0
    report = json.loads((tmp_path / "metrics.json").read_text())
    (row,) = report["quarantined"]
    assert row["file"].endswith("004.png")
    assert "empty file" in row["reason"]
    assert report["num_images"] == NUM_IMAGES - 1
    assert f"Left out: {row['file']}: empty file" in capfd.readouterr().out


def test_too_many_bad_examples_stop_it(model_dir, dataset, tmp_path, capfd):
    for number in range(3):
        (dataset / "test" / f"{number:03d}.png").write_bytes(b"")
    assert _evaluate(model_dir, dataset) == 2
    error = capfd.readouterr().err
    assert f"3 of {NUM_IMAGES} examples of the split test" in error
    assert "more than 5%" in error
    assert not (tmp_path / "metrics.json").exists()


def test_too_many_bad_examples_are_noticed_before_the_rest_is_scored(dataset):
    for number in range(2):
        (dataset / "test" / f"{number:03d}.png").write_bytes(b"")
    source = sources.open_source(f"coco:{dataset}", required_splits=["test"])
    with pytest.raises(errors.UserError, match=f"2 of {NUM_IMAGES} examples"):
        next(evaluate.good_records(source, "test", []))


def test_differing_classes_are_named_with_the_way_out(model_dir, dataset, capfd):
    table = json.loads((dataset / "test.json").read_text())
    table["categories"][0]["name"] = "truck"
    (dataset / "test.json").write_text(json.dumps(table))
    assert _evaluate(model_dir, dataset) == 2
    error = capfd.readouterr().err
    assert "(only in the dataset: truck; only in the model: car)" in error
    assert "--classes=person,bicycle" in error
    assert "Pair classes that mean the same with --classes=car=truck,..." in error
    assert _evaluate(model_dir, dataset, "--classes=person,bicycle") == 0


@pytest.mark.parametrize("flags", [[], ["--classes=CAR"], ["--classes=Car=CAR"]])
def test_classes_are_paired_without_case(results, model_dir, dataset, tmp_path, flags):
    table = json.loads((dataset / "test.json").read_text())
    for category in table["categories"]:
        category["name"] = category["name"].upper()
    (dataset / "test.json").write_text(json.dumps(table))
    assert _evaluate(model_dir, dataset, *flags) == 0
    report = json.loads((tmp_path / "metrics.json").read_text())
    expected = coco.coco_metrics(results, CLASS_NAMES)
    assert sorted(report["class_names"]) == (["car"] if flags else sorted(CLASS_NAMES))
    assert report["metrics"]["AP/car"] == pytest.approx(expected["AP/car"], abs=1e-6)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--dataset=coco:absent"], "absent"),
        (["--dataset=road_scene"], "Did you mean `road_scenes`?"),
        (["--split=tset"], "test"),
        (["--split=val"], "val"),
        (["--classes=cat"], "Did you mean `car`?"),
        (["--model=absent"], "`--model=absent` does not exist"),
        (["more.jpg"], "`evaluate` takes flags only: got `more.jpg`"),
    ],
)
def test_mistakes_are_one_line_and_status_2(model_dir, dataset, capfd, flags, message):
    assert _evaluate(model_dir, dataset, *flags) == 2
    error = capfd.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
