"""Times non-maximum suppression beside `tf.image.combined_non_max_suppression`, in the same run.

Ours is `postprocess.detect` with the declared settings; the peer, a C++ kernel, gets the same boxes (clipped before,
as ours), scores and limits. Only ours looks at no more than `postprocess.nms_candidates` boxes a class, so detections
may differ where a class has more above the score threshold; the share of equal ones is printed. Boxes and scores are
like a detector's: clusters around a few objects, most anchors far below the score threshold. Rounds alternate.

    python -m benchmarks.nms
"""

import itertools

import numpy as np
import tensorflow as tf

from benchmarks import rounds
from models.hyperparameters import PostprocessConfig
from models.network import suppression

ROUNDS = 15
BATCH = 8
ANCHORS = (1917, 20_000)
CLASSES = (3, 80)
OBJECTS = 8  # an image


def main() -> int:
    """Prints milliseconds a batch of both, their ratio and the share of equal detections; returns 0."""
    settings = PostprocessConfig()
    rounds.print_heading("python -m benchmarks.nms", ("tensorflow", "keras", "numpy"))
    print(f"median milliseconds of {ROUNDS} rounds (least to most), {BATCH} images a batch")
    print(f"{settings}\n")
    for anchors, classes in itertools.product(ANCHORS, CLASSES):
        _print_case(settings, *detector_like(0, BATCH, anchors, classes))
    return 0


def detector_like(seed: int, batch: int, anchors: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws boxes and scores as a trained detector gives them.

    Args:
        seed: of the draws.
        batch: B.
        anchors: A; one in 20 lies at one of `OBJECTS` objects.
        classes: C.

    Returns:
        boxes float32 [B, A, 4], scores float32 [B, A, C]: those of the object's class around 0.27, all others around
        0.001.
    """
    rng = np.random.default_rng(seed)
    centres, sides = rng.uniform(0, 1, (batch, anchors, 2)), np.exp(rng.uniform(-3.0, -0.5, (batch, anchors, 2)))
    logits = rng.normal(-7.0, 1.0, (batch, anchors, classes))
    near = anchors // 20
    for row in range(batch):
        place, side = rng.uniform(0.15, 0.85, (OBJECTS, 2)), np.exp(rng.uniform(-2.5, -0.9, (OBJECTS, 2)))
        labels, which = rng.integers(0, classes, OBJECTS), rng.integers(0, OBJECTS, near)
        centres[row, :near] = place[which] + rng.normal(0, 0.15, (near, 2)) * side[which]
        sides[row, :near] = side[which] * np.exp(rng.normal(0, 0.15, (near, 2)))
        logits[row, np.arange(near), labels[which]] = rng.normal(-1.0, 2.0, near)
    boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=-1)
    order = rng.permutation(anchors)
    return boxes[:, order].astype(np.float32), (1 / (1 + np.exp(-logits)))[:, order].astype(np.float32)


def _print_case(settings: PostprocessConfig, boxes: np.ndarray, scores: np.ndarray) -> None:
    names = ("postprocess.detect", "combined_non_max_suppression")
    boxes_on_device, scores_on_device = tf.constant(boxes), tf.constant(scores)

    @tf.function
    def ours(boxes: tf.Tensor, scores: tf.Tensor) -> dict[str, tf.Tensor]:
        return suppression.detect(boxes, scores, settings)

    @tf.function
    def peer(boxes: tf.Tensor, scores: tf.Tensor) -> dict[str, tf.Tensor]:
        found = tf.image.combined_non_max_suppression(
            tf.clip_by_value(boxes, 0.0, 1.0)[:, :, None],
            scores,
            max_output_size_per_class=settings.max_per_class,
            max_total_size=settings.max_detections,
            iou_threshold=settings.nms_iou,
            score_threshold=settings.score_threshold,
        )
        return dict(
            zip(("detection_boxes", "detection_scores", "detection_classes", "num_detections"), found, strict=True)
        )

    calls = [lambda call=call: call(boxes_on_device, scores_on_device) for call in (ours, peer)]
    equal = equal_detections(*({name: value.numpy() for name, value in call().items()} for call in calls))
    times = rounds.seconds_in_turn(dict(zip(names, calls, strict=True)), ROUNDS)
    above = (scores >= settings.score_threshold).sum() / len(scores)
    print(f"{scores.shape[1]} anchors, {scores.shape[2]} classes; {above:.0f} scores an image above the threshold")
    for name in names:
        print(f"  {name:<32}{rounds.spread([1000 * seconds for seconds in times[name]], 2)}")
    print(f"  peer / ours   {rounds.median_ratio(times[names[1]], times[names[0]]):.2f} (median of the rounds' ratios)")
    print(f"  equal detections   {100 * equal:.2f} %\n", flush=True)


def equal_detections(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> float:
    """Computes the share of detections, image by image, that both sides have: same class, score and box.

    Args:
        ours: as `postprocess.detect`.
        theirs: the same.

    Returns:
        Detections in both / detections in either, in [0, 1].
    """
    shared = total = 0
    for row in range(len(ours["num_detections"])):
        found = [_detections(side, row) for side in (ours, theirs)]
        shared += len(found[0] & found[1])
        total += len(found[0] | found[1])
    return shared / max(total, 1)


def _detections(side: dict[str, np.ndarray], row: int) -> set[tuple[float, ...]]:
    count = int(side["num_detections"][row])
    columns = (side["detection_classes"], side["detection_scores"], *np.moveaxis(side["detection_boxes"], -1, 0))
    return set(zip(*(values[row, :count].astype(np.float32).tolist() for values in columns), strict=True))


if __name__ == "__main__":
    raise SystemExit(main())
