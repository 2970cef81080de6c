"""What Beam is told: to work in this process, unless the user names a runner; and whether that runner answers."""

import re
from collections.abc import Sequence

from data import endpoints
from data.errors import UserError

# In this process: starting workers costs more than they gain below some 100,000 images. The plain DirectRunner would
# first look for a runner to download.
_RUNNER = "--runner=FnApiRunner"
# Without an image name TFX would build a package of itself for every component.
_NO_PACKAGE = "--sdk_container_image=none"
# Workers elsewhere unpickle functions of tensorflow-data-validation, which asks for a module that tfx-bsl no longer has
# and that importing TFX fills in.
_IMPORT_TFX = "--beam_plugin=tfx"
_NAME = re.compile(r"--[A-Za-z]\w*")  # of an option
_WITH_VALUE = ("--runner", "--job_endpoint")
_INGESTION_ONLY = "DaskRunner"  # cannot translate what tensorflow-data-validation does


def arguments(given: Sequence[str]) -> list[str]:
    """Returns the options of a pipeline: the user's, and before them the kit's own.

    A user who names a runner has workers elsewhere.

    Args:
        given: the user's, each as "--NAME=VALUE"; they win.
    """
    return [_IMPORT_TFX if _names_runner(given) else _RUNNER, _NO_PACKAGE, *given]


def _names_runner(given: Sequence[str]) -> bool:
    return any(argument.startswith("--runner=") for argument in given)


def check_form(given: Sequence[str]) -> None:
    """Checks that Beam would take each option as it is meant: it ignores what it does not know, without a word.

    Args:
        given: as of `arguments`.

    Raises:
        UserError: one is neither --NAME=VALUE nor --NAME, a runner has no name, or there is a `--job_endpoint` and no
            runner that asks it.
    """
    for argument in given:
        name, _, value = argument.partition("=")
        if not _NAME.fullmatch(name):
            dashed = f"--{argument.lstrip('-')}"
            hint = f", for example --beam_args={dashed}" if _NAME.fullmatch(dashed.partition("=")[0]) else ""
            raise UserError(f"`--beam_args={argument}` needs one option of Beam, as --NAME=VALUE{hint}.")
        if name in _WITH_VALUE and not value:
            raise UserError(f"`--beam_args={argument}` needs a value, as --beam_args={name}=VALUE.")
    endpoint = next((one for one in given if one.startswith("--job_endpoint=")), None)
    if endpoint is not None and not _names_runner(given):
        raise UserError(
            f"`--beam_args={endpoint}` has no effect without a runner: Beam would work in this process. Add"
            " --beam_args=--runner=PortableRunner, or leave the option out."
        )


def check(given: Sequence[str]) -> None:
    """Asks whether the runner that the user names can do the work, and whether its job service is there.

    Args:
        given: as of `arguments`.

    Raises:
        UserError: as `check_form`; the runner cannot do all steps, nothing answers at `--job_endpoint` within 10 s, or
            it is not HOST:PORT.
    """
    check_form(given)
    for argument in given:
        name, _, endpoint = argument.partition("=")
        if name == "--runner" and endpoint.endswith(_INGESTION_ONLY):
            raise UserError(
                f"`--beam_args={argument}`: Beam's {_INGESTION_ONLY} can run DetectionExampleGen alone, not"
                " StatisticsGen (docs/beam.md). Take another runner, or leave the option out: Beam then works in this"
                " process."
            )
        if name != "--job_endpoint" or endpoint == "embed":
            continue
        try:
            reason = endpoints.why_silent(endpoint)
        except ValueError as error:
            raise UserError(f"`--beam_args={argument}` {error}.") from error
        if reason:
            raise UserError(
                f"`--beam_args={argument}`: no job service of Beam answers there ({reason}). Start it, or leave the"
                " option out: Beam then works in this process."
            )
