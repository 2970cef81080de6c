"""TFX component that turns any detection source into tf.Examples, through Beam."""

import contextlib
import errno
import functools
import json
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.io import filesystems
from tfx import types
from tfx.dsl.components.base import base_beam_component, base_beam_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts

from data import errors, example_rules, loading, progress, sources
from pipeline.components import ingest, summarising

_PROGRESS_EVERY_S = 1.0


class Executor(base_beam_executor.BaseBeamExecutor):
    """Reads a source and writes its examples."""

    def Do(  # noqa: N802 - TFX's name
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the splits, dataset.json and quarantine.csv into the Examples artifact.

        Args:
            input_dict: empty.
            output_dict: "examples": one Examples artifact.
            exec_properties: see `DetectionExampleGenSpec`.

        Raises:
            UserError: the source cannot be opened, a split names an example twice, too
                much of a split is bad, the train split has no boxes, or the disk is full.
        """
        del input_dict
        artifact = artifact_utils.get_single_instance(output_dict["examples"])
        options = sources.DataOptions.from_dict(json.loads(exec_properties["options"]))
        source = sources.open_source(exec_properties["dataset"], options)
        shards = []
        for split in source.splits:
            items = source.items(split)
            example_rules.check_unique((item.source_id for item in items), f"Split {split} of `{source.spec}`")
            shards += ingest.plan_shards(split, items, os.path.join(artifact.uri, f"Split-{split}"))
        summaries = self._write_shards(source, shards, artifact.uri)
        report_dir = exec_properties["report_dir"] or artifact.uri
        summarising.check(source, summaries, report_dir)
        for folder in {artifact.uri, report_dir}:
            ingest.write_quarantine(os.path.join(folder, "quarantine.csv"), summaries)
        bad = len(ingest.quarantined(summaries))
        if bad:
            left_out = f"{bad} bad example{' is' if bad == 1 else 's are'} left out"
            progress.emit("note", text=f"{left_out}; {report_dir}/quarantine.csv says why.")
        description = summarising.describe(source, summaries)
        loading.say_mended(description["mended"])
        text = json.dumps(description, indent=2) + "\n"
        ingest.write_text(os.path.join(artifact.uri, "dataset.json"), text)
        _label(artifact, source.splits, description["fingerprint"])

    def _write_shards(
        self, source: sources.Source, shards: Sequence[ingest.Shard], folder: str
    ) -> list[ingest.ShardSummary]:
        summary_path = os.path.join(folder, "summaries.json")
        try:
            with _reporting_progress(shards), self._make_beam_pipeline() as pipeline:
                _ = (
                    pipeline
                    | "Shards" >> beam.Create(shards)
                    | "Spread" >> beam.Reshuffle()
                    | "Write" >> beam.Map(functools.partial(ingest.write_shard, source=source))
                    | "Gather" >> beam.combiners.ToList()
                    | "Summarise" >> beam.Map(functools.partial(ingest.write_summaries, path=summary_path))
                )
        except Exception as error:
            if _is_full_disk(error):
                raise errors.UserError(
                    f"The disk that holds {folder} is full. Free some space or choose another --workdir."
                ) from error
            raise
        summaries = ingest.read_summaries(summary_path)
        filesystems.FileSystems.delete([summary_path])
        ingest.remove_unfinished({folder, *(os.path.dirname(shard.path) for shard in shards)})
        return summaries


class DetectionExampleGenSpec(component_spec.ComponentSpec):
    """Declares the component's parameters, which are its cache key.

    dataset: as given to `data.sources.open_source`. options: `data.sources.DataOptions` as JSON.
    fingerprint: of the source. source_hash: of the code the component depends on. report_dir: folder for
    quarantine.csv where the component fails (TFX deletes a failed component's artifact), or "".
    """

    PARAMETERS = {
        name: component_spec.ExecutionParameter(type=str)
        for name in ("dataset", "options", "fingerprint", "source_hash", "report_dir")
    }
    INPUTS = {}
    OUTPUTS = {"examples": component_spec.ChannelParameter(type=standard_artifacts.Examples)}


class DetectionExampleGen(base_beam_component.BaseBeamComponent):
    """Ingests detection data from any source of `data.sources`.

    Its output `examples` holds Split-train/, Split-val/ and Split-test/ with data_tfrecord-*-of-*.gz (GZIP
    TFRecords of tf.Example), dataset.json and quarantine.csv. Equal data gives equal files.
    """

    SPEC_CLASS = DetectionExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        dataset: str,
        fingerprint: str,
        options: sources.DataOptions | None = None,
        source_hash: str = "",
        report_dir: str = "",
    ) -> None:
        """Declares the component; nothing is read yet.

        Args:
            dataset: as given to `data.sources.open_source`.
            fingerprint: `open_source(dataset, options).fingerprint()`; part of the cache key.
            options: what to take of the dataset; None takes everything.
            source_hash: of the code the component depends on; part of the cache key.
            report_dir: folder for quarantine.csv where the component fails.
        """
        spec = DetectionExampleGenSpec(
            dataset=dataset,
            options=json.dumps((options or sources.DataOptions()).to_dict()),
            fingerprint=fingerprint,
            source_hash=source_hash,
            report_dir=report_dir,
            examples=types.Channel(type=standard_artifacts.Examples),
        )
        super().__init__(spec=spec)


def _label(artifact: types.Artifact, splits: Sequence[str], fingerprint: str) -> None:
    """Sets the properties that TFX's own ExampleGens set.

    They are set by name: the helpers in `tfx.components` for it take 6 s to import.
    """
    artifact.split_names = artifact_utils.encode_split_names(list(splits))
    artifact.set_int_custom_property("span", 0)
    artifact.set_int_custom_property("version", 0)
    artifact.set_string_custom_property("input_fingerprint", fingerprint)
    artifact.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
    artifact.set_string_custom_property("file_format", "tfrecords_gzip")


@contextlib.contextmanager
def _reporting_progress(shards: Sequence[ingest.Shard]) -> Iterator[None]:
    """Reports examples done by looking for whole shard files, which works whatever process writes them."""
    total = sum(len(shard.items) for shard in shards)
    stop = threading.Event()

    def report() -> None:
        done = sum(len(shard.items) for shard in shards if os.path.exists(shard.path))
        progress.emit("ingest", done=done, total=total)

    def watch() -> None:
        while not stop.wait(_PROGRESS_EVERY_S):
            report()

    watcher = threading.Thread(target=watch, name="ingest-progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()
    report()


def _is_full_disk(error: BaseException | None) -> bool:
    """Says whether an error comes from a full disk; Beam passes errors of other processes on as text."""
    while error is not None:
        if getattr(error, "errno", None) == errno.ENOSPC or os.strerror(errno.ENOSPC) in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
