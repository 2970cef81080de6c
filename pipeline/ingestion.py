"""A dataset's examples without TFX: the same files that DetectionExampleGen writes, for commands without a pipeline."""

import json
import os
import pathlib
from collections.abc import Sequence

from data import dataset_info, example_rules, files, loading, progress, sources
from pipeline.components import ingest, summarising


def examples(source: sources.Source, folder: pathlib.Path, splits: Sequence[str]) -> dataset_info.DatasetInfo:
    """Writes the examples of some splits, unless they are there.

    Args:
        source: the dataset.
        folder: of these examples alone; `dataset_info.split_files` finds them in it.
        splits: to write.

    Returns:
        What was written.

    Raises:
        UserError: a split names an example twice, too much of it is bad, or it has no objects.
    """
    description = folder / dataset_info.FILE_NAME
    if not description.exists():
        summaries = _write(source, folder, splits)
        summarising.check(source, summaries, str(folder), splits)
        ingest.write_quarantine(str(folder / "quarantine.csv"), summaries)
        bad = len(ingest.quarantined(summaries))
        if bad:
            left_out = f"{bad} bad example{' is' if bad == 1 else 's are'} left out"
            progress.emit("note", text=f"{left_out}; {folder}/quarantine.csv says why.")
        described = summarising.describe(source, summaries, splits)
        loading.say_mended(described["mended"])
        files.write_text(description, json.dumps(described, indent=2) + "\n")
    return dataset_info.read(folder)


def _write(source: sources.Source, folder: pathlib.Path, splits: Sequence[str]) -> list[ingest.ShardSummary]:
    shards: list[ingest.Shard] = []
    for split in splits:
        items = source.items(split)
        example_rules.check_unique((item.source_id for item in items), f"Split {split} of `{source.spec}`")
        target = folder / f"Split-{split}"
        os.makedirs(target, exist_ok=True)
        shards += ingest.plan_shards(split, items, str(target))
    total, done, summaries = sum(len(shard.items) for shard in shards), 0, []
    for shard in shards:
        summaries.append(ingest.write_shard(shard, source))
        done += len(shard.items)
        progress.emit("ingest", done=done, total=total)
    return summaries
