"""The card says what the files say, and that it does not know the rest."""

import json

from models.export import formats, model_card
from models.hyperparameters import ExperimentConfig

CONFIG = ExperimentConfig().replace({"model.alpha": 0.5, "training.seed": 7}).to_dict()
DATASET = {
    "spec": "coco:street",
    "fingerprint": "abc123",
    "class_names": ["person", "car"],
    "num_examples": {"train": 10, "val": 2, "test": 3},
    "num_boxes": {"train": 30, "val": 4, "test": 5},
    "num_quarantined": {"train": 1, "val": 0, "test": 0},
    "max_boxes": 5,
}
METRICS = {
    "AP": 0.25,
    "AP50": 0.5,
    "AP_large": None,
    "AP/person": 0.2,
    "AP50/person": 0.4,
    "AP/car": 0.3,
    "AP50/car": 0.6,
}
EXPORT = {
    "dataset": "coco:street",
    "split": "val",
    **formats.ExportReport(
        (
            formats.FormatReport("saved_model", "", 0.25, 0.5, 0.0, 9000, 10.0, 5000),
            formats.FormatReport("tflite_int8", "", 0.2, 0.4, 0.05, 900, 1.0, 500, False, "its mAP is 0.05 below"),
        ),
        num_images=2,
        num_calibration_images=10,
        max_drop=0.02,
    ).to_dict(),
}


def _card(**changes):
    texts = {
        "labels.txt": "person\ncar\n",
        "config.json": json.dumps(CONFIG),
        "training.json": json.dumps(
            {
                "dataset": DATASET,
                "options": {"classes": None, "splits": [0.8, 0.1, 0.1], "exif": "auto"},
                "search_seed": 3,
                "versions": {"tensorflow": "2.21.0"},
            }
        ),
        "evaluation.json": json.dumps(
            {"split": "test", "num_images": 3, "blessed": True, "reasons": ["good"], "metrics": METRICS}
        ),
        "export.json": json.dumps(EXPORT),
    }
    return model_card.write(texts | changes)


def test_everything_that_is_known_is_in_the_card():
    card = _card()
    for text in (
        "2 classes: person, car",
        "`coco:street`",
        "`abc123`",
        "splits [0.8, 0.1, 0.1]",
        "| train | 10 | 30 | 1 |",
        "| mAP@[.5:.95] | 0.2500 |",
        "no ground truth",
        "| car | 0.3000 | 0.6000 |",
        "The model was blessed: good.",
        "| tflite_int8 | left out: its mAP is 0.05 below | 0.2000 | 0.0500 |",
        "| `model.alpha` | 0.5 | 1.0 |",
        "augmentation: 7",
        "search: 3",
        "tensorflow 2.21.0",
    ):
        assert text in card, text
    assert "`model.dropout_rate`" not in card  # as declared
    assert "exif" not in card


def test_what_is_not_known_is_said_to_be():
    card = model_card.write({"labels.txt": "car\n"})
    for text in ("The training data is not recorded.", "was not evaluated", "The SavedModel alone", "unknown"):
        assert text in card
    assert "None" not in card


def test_a_name_cannot_break_a_table():
    card = _card(**{"labels.txt": "per|son\ncar\n"})
    assert r"| per\|son | no ground truth | no ground truth |" in card


def test_what_was_not_calibrated_or_scored_is_not_claimed():
    floats = EXPORT | {"num_calibration_images": 0}
    assert "calibrated on" not in _card(**{"export.json": json.dumps(floats)})
    untried = floats | {"num_images": 0, "formats": [EXPORT["formats"][1] | {"reason": "not tried"}]}
    card = _card(**{"export.json": json.dumps(untried)})
    assert "mAP on the split" not in card
    assert "| tflite_int8 | left out: not tried |" in card


def test_class_names_are_shown_as_they_are():
    names = ["a/b", "c|d", "<script>alert(1)</script>"]
    card = _card(**{"labels.txt": "".join(f"{name}\n" for name in names)})
    assert "for 3 classes: a/b, c|d, &lt;script&gt;alert(1)&lt;/script&gt;." in card
    assert r"| c\|d | no ground truth |" in card
    assert "<script>" not in card
