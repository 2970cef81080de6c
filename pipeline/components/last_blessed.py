"""The TFX component that finds the model to compare with on Kubeflow Pipelines, which has no resolvers.

It looks at the pushed models in the run directory, and not at ML Metadata, which Kubeflow Pipelines is giving up.
"""

import pathlib
import shutil

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from data import files
from models.evaluation import detections
from pipeline.cluster import uris

_NOTE = "no_model.txt"
_LABELS = "labels.txt"
_WEIGHTS = "variables/variables.data-00000-of-00001"


@component
def LastBlessedModel(  # noqa: N802 - the name is the component's, as TFX shows it
    candidate: InputArtifact[standard_artifacts.Model],
    model: OutputArtifact[standard_artifacts.Model],
    serving_model: Parameter[str],
    source_hash: Parameter[str] = "",
) -> None:
    """Copies the last pushed model that is not the candidate.

    A step of Kubeflow Pipelines cannot leave an output out, so that where there is no such model the artifact holds a
    note and has the property `uris.EMPTY`; `pipeline.cluster.entrypoint` takes it away from the steps that get it.

    Args:
        candidate: the Trainer's model.
        model: the copy.
        serving_model: folder of the pushed models, on the shared volume.
        source_hash: of the code behind the component; part of the cache key.
    """
    del source_hash
    found = last_model(pathlib.Path(serving_model), pathlib.Path(path_utils.serving_model_path(candidate.uri)))
    if found is None:
        model.set_int_custom_property(uris.EMPTY, 1)
        files.write_text(pathlib.Path(model.uri) / _NOTE, f"No other model was pushed to {serving_model} before.\n")
        return
    model.set_string_custom_property("pushed_as", str(found))
    shutil.copytree(found, path_utils.serving_model_dir(model.uri), dirs_exist_ok=True)


def last_model(serving_model: pathlib.Path, candidate: pathlib.Path) -> pathlib.Path | None:
    """Finds the newest pushed model of the same classes that has other weights than the candidate.

    Args:
        serving_model: folder of the pushed models, named by their seconds since 1970; it need not exist.
        candidate: folder of a SavedModel.

    Returns:
        Its folder, None where there is none.
    """
    own, labels = files.digest(candidate / _WEIGHTS), detections.read_extra(candidate, _LABELS)
    versions = sorted((path for path in serving_model.glob("*/") if path.name.isdecimal()), key=lambda p: int(p.name))
    for version in reversed(versions):
        if not (version / "saved_model.pb").is_file() or detections.read_extra(version, _LABELS) != labels:
            continue
        if files.digest(version / _WEIGHTS) != own:
            return version
    return None
