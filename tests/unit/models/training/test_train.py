"""What a training keeps and puts back, for float16 too, whose loss is scaled."""

import collections

import keras
import numpy as np
import pytest

from models.hyperparameters import ExperimentConfig
from models.training import programs, train
from tests import tiny_data

CONFIG = ExperimentConfig().replace(
    {
        "input.image_size": 64,
        "model.backbone": "mobilenet_v1",
        "model.alpha": 0.35,
        "model.num_levels": 2,
        "optimizer.ema_momentum": 0.9,
    }
)


@pytest.fixture
def program():
    """Builds a detector as on a GPU below compute capability 8."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        yield programs.Program(CONFIG, 2)
    finally:
        keras.config.set_dtype_policy(policy)


def test_scaling_the_loss_is_part_of_the_state_from_the_start(program) -> None:
    optimizer = program.detector.optimizer
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    assert optimizer.built  # the first step would build what is not, and add to the state
    assert "dynamic_scale" in {variable.name for variable in program.variables()}
    program.reset(CONFIG)


def test_after_scoring_the_averages_training_goes_on_from_its_own_weights(program) -> None:
    weights = program.detector.trainable_variables
    for weight in weights:
        weight.assign(weight + 1.0)
    own = [np.asarray(weight) for weight in weights]
    with program.scored_weights():
        assert any((np.asarray(weight) != value).any() for weight, value in zip(weights, own, strict=True))
    for weight, value in zip(weights, own, strict=True):
        np.testing.assert_array_equal(weight, value)


def first_move(changes: dict) -> tuple[programs.Program, dict[str, np.ndarray]]:
    """Takes one step of gradient descent; returns the program and how far its weights moved."""
    settings = {"optimizer.name": "sgd", "optimizer.learning_rate": 0.1, "optimizer.warmup_fraction": 0.0}
    settings |= {"optimizer.clip_norm": 0.0, "optimizer.ema_momentum": 0.0, "loss.l2": 0.1}
    config = CONFIG.replace(settings | changes)
    program = programs.Program(config, 2)
    program.configure(config, 10)
    weights = program.detector.network.weights
    before = [np.asarray(weight) for weight in weights]
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.float32)
    boxes, labels = np.float32([[[0.1, 0.1, 0.6, 0.6]]] * 2), np.zeros((2, 1), np.int32)
    program.detector.train_on_batch(images, {"gt_boxes": boxes, "gt_labels": labels})
    return program, {one.path: np.asarray(one) - old for one, old in zip(weights, before, strict=True)}


def test_frozen_blocks_stay_and_the_backbone_moves_at_its_own_rate() -> None:
    """The same first gradient with and without; a frozen block keeps its statistics and has no part in the penalty."""
    _, plain = first_move({})
    program, changed = first_move({"model.frozen_blocks": 2, "optimizer.backbone_rate": 0.5})
    frozen = {"conv1", "conv1_bn", "conv_dw_1", "conv_dw_1_bn", "conv_pw_1", "conv_pw_1_bn"}
    for path, move in plain.items():
        if path.partition("/")[0] in frozen:
            assert not changed[path].any()
            assert move.any() or path.endswith(("gamma", "beta"))
    assert {path.partition("/")[0] for path in plain} > frozen
    assert program.detector.penalised[0].path == "conv_pw_2/kernel"
    # Frozen batch norms compute something else, so that the gradients behind them are others; without any they are not.
    _, slow = first_move({"optimizer.backbone_rate": 0.5})
    for path, factor in (("conv_pw_2/kernel", 0.5), ("conv_pw_13/kernel", 0.5), ("head_0_box/kernel", 1.0)):
        assert np.abs(plain[path]).max() > 1e-4
        np.testing.assert_allclose(slow[path], factor * plain[path], rtol=1e-3, atol=1e-6)


def test_two_rates_are_kept_where_the_loss_is_scaled() -> None:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        optimizer = programs.Program(CONFIG.replace({"optimizer.backbone_rate": 0.5}), 2).detector.optimizer
    finally:
        keras.config.set_dtype_policy(policy)
    assert sorted(set(optimizer.inner_optimizer.factors)) == [0.5, 1.0]


def test_one_traced_program_trains_every_seed_as_one_of_its_own_does(tmp_path, monkeypatch) -> None:
    """Bit for bit, with everything that draws: initial weights, dropout, the order of the images, moving averages."""
    traced = []
    compute_loss = train.Detector.compute_loss
    monkeypatch.setattr(train.Detector, "compute_loss", lambda *a, **k: traced.append(1) or compute_loss(*a, **k))
    monkeypatch.setattr(programs, "_programs", collections.OrderedDict())
    records = [tiny_data.scene_record("train", number) for number in range(4)]
    files = [tiny_data.write_split(tmp_path / split, split, records) for split in ("train", "val")]
    settings = {"model.dropout_rate": 0.2, "input.batch_size": 2}

    def trained(seed: int) -> list[np.ndarray]:
        config = CONFIG.replace(settings | {"training.seed": seed})
        result = train.train(config, *files, tiny_data.CLASS_NAMES, epochs=2, validate_at=())
        values = [np.asarray(one) for one in programs.get_program(config, len(tiny_data.CLASS_NAMES)).variables()]
        return [*values, np.array([report["loss"] for report in result.history])]

    first = trained(0)
    times = len(traced)
    shared = trained(1)
    again = trained(0)
    assert len(traced) == times > 0
    assert len(programs._programs) == 1
    programs._programs.clear()
    alone = trained(1)
    assert len(traced) == 2 * times
    for found, expected in ((again, first), (shared, alone)):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)
    assert not all((one == other).all() for one, other in zip(first, alone, strict=True))


def test_the_starts_of_a_few_seeds_are_kept(monkeypatch) -> None:
    """However many there are: they would fill the memory. One that is drawn again is the same."""
    monkeypatch.setattr(programs, "_MOST_SEEDS", 2)
    program = programs.Program(CONFIG, 2)
    starts = {}
    for seed in (0, 1, 2, 0):
        program.reset(CONFIG.replace({"training.seed": seed}))
        values = [np.asarray(weight) for weight in program.detector.trainable_variables]
        for one, other in zip(values, starts.setdefault(seed, values), strict=True):
            np.testing.assert_array_equal(one, other)
        assert len(program._starts) <= 2
    assert not np.array_equal(starts[0][0], starts[2][0])
