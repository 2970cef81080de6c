"""What is said of an ingested dataset, and what about it stops the work.

Nothing here imports TFX or TensorFlow.
"""

import collections
import os
from collections.abc import Callable, Sequence
from typing import Any

from data import errors, example_rules, sources
from data.sources.selection import TILED_SPLITS
from pipeline.components import ingest

# What a split without objects leaves undone.
_WITHOUT_OBJECTS = {"val": ", so that no settings can be told apart", "test": ", so that no model can be judged"}


def describe(
    source: sources.Source, summaries: Sequence[ingest.ShardSummary], splits: Sequence[str] | None = None
) -> dict[str, Any]:
    """Describes a serialised dataset.

    Args:
        source: it was read from.
        summaries: of all its shards.
        splits: that were written; None for all of the source.

    Returns:
        The content of dataset.json: class_names, spec, fingerprint; num_examples, num_boxes and
        num_quarantined by split; mended, how often each thing was; max_boxes, the most boxes of one example.
    """
    splits = source.splits if splits is None else splits
    return {
        "class_names": list(source.class_names),
        "spec": source.spec,
        "fingerprint": source.fingerprint(),
        "num_examples": _by_split(splits, summaries, lambda summary: summary.num_examples),
        "num_boxes": _by_split(splits, summaries, lambda summary: summary.num_boxes),
        "num_quarantined": dict.fromkeys(splits, 0)
        | collections.Counter(split for split, _, _ in ingest.quarantined(summaries)),
        "mended": dict(sorted(sum((collections.Counter(s.mended) for s in summaries), collections.Counter()).items())),
        "max_boxes": max(summary.max_boxes for summary in summaries),
    }


def check(
    source: sources.Source,
    summaries: Sequence[ingest.ShardSummary],
    report_dir: str,
    splits: Sequence[str] | None = None,
) -> None:
    """Stops a dataset of which too much is bad.

    Args:
        source: it was read from.
        summaries: of all its shards.
        report_dir: folder to write quarantine.csv to before failing.
        splits: that were written; None for all of the source.

    Raises:
        UserError: something about the data is ambiguous, too much of a split is bad, or a split has no objects.
    """
    splits = source.splits if splits is None else splits
    for file, question in (row for summary in summaries for row in summary.questions):
        raise errors.UserError(f"{file}: {question}")
    for split in splits:
        own = [summary for summary in summaries if summary.split == split]
        tiles = source.tiles_per_image if split in TILED_SPLITS else 1  # a bad image is bad in all of its tiles
        num_bad = sum(summary.num_bad for summary in own) // tiles
        total = num_bad + sum(summary.num_examples for summary in own) // tiles
        if example_rules.too_many_bad(num_bad, total):
            report = os.path.join(report_dir, "quarantine.csv")
            ingest.write_quarantine(report, summaries)
            reasons = "; ".join(f"{file}: {reason}" for _, file, reason in ingest.quarantined(own)[:3])
            raise errors.UserError(
                f"{num_bad} of {total} images of split {split} of `{source.spec}` are bad, more than the"
                f" {example_rules.MOST_BAD_SHARE:.0%} that a run continues with: {reasons}."
                f" Mend or remove them; all are listed in {report}."
            )
    num_objects = _by_split(splits, summaries, lambda summary: summary.num_objects)
    for split in splits:
        if not num_objects[split]:
            classes = ", ".join(source.class_names)
            raise errors.UserError(
                f"Split {split} of `{source.spec}` has no box of {classes}{_WITHOUT_OBJECTS.get(split, '')}. Check the"
                " annotations, or divide the dataset anew with --splits=0.7,0.15,0.15."
            )


def _by_split(
    splits: Sequence[str],
    summaries: Sequence[ingest.ShardSummary],
    count: Callable[[ingest.ShardSummary], int],
) -> dict[str, int]:
    totals = collections.Counter(dict.fromkeys(splits, 0))
    for summary in summaries:
        totals[summary.split] += count(summary)
    return dict(totals)
