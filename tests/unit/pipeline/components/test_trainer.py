"""What the Trainer says of the weights that it exports."""

from data.run_directory import RunDirectory
from pipeline.components import trainer


def test_what_a_user_would_not_expect_of_the_exported_weights_is_said() -> None:
    history = [{"AP50": 0.6}, {}, {"AP50": 0.34}]
    assert trainer.exported_texts(history[:1], 1, "AP50", 0.6) == []
    assert trainer.exported_texts(history, 1, "AP50", None) == [
        "The weights of epoch 1 are exported, with val mAP@.5 0.600 the best of the training; its last epoch, 3, has"
        " 0.340."
    ]
    (text,) = trainer.exported_texts(history[2:], 1, "AP50", 0.601)
    assert text == "The final model has val mAP@.5 0.340, less than the 0.601 of the winner's trial."


def test_the_states_of_trainings_that_have_ended_are_deleted(tmp_path) -> None:
    paths = RunDirectory(tmp_path)
    for key in ("ended", "own", "interrupted"):
        paths.training(key).mkdir(parents=True)
        (paths.training(key) / "state.npz").write_bytes(b"state")
    for key in ("ended", "own"):
        (paths.training(key) / trainer._ENDED).touch()
    trainer.forget_ended(paths, but=paths.training("own"))
    assert sorted(path.name for path in (tmp_path / "training").iterdir()) == ["interrupted", "own"]
    trainer.forget_ended(paths)
    assert [path.name for path in (tmp_path / "training").iterdir()] == ["interrupted"]
