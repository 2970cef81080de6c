"""What the Trainer says of the weights that it exports."""

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
