"""What Beam is told: to work in this process, unless the user names a runner; and whether that runner answers."""

import socket
from collections.abc import Sequence

from data.errors import UserError

# In this process: starting workers costs more than they gain below some 100,000 images. The plain DirectRunner would
# first look for a runner to download, and without an image name TFX would build a package of itself for every
# component.
_RUNNER, _NO_PACKAGE = "--runner=FnApiRunner", "--sdk_container_image=none"
# Workers elsewhere unpickle functions of tensorflow-data-validation, which asks for a module that tfx-bsl no longer has
# and that importing TFX fills in.
IMPORT_TFX = "--beam_plugin=tfx"
_PATIENCE_S = 10.0


def arguments(given: Sequence[str]) -> list[str]:
    """Returns the options of a pipeline: the kit's own, and the user's, which win."""
    is_named = any(argument.startswith("--runner=") for argument in given)
    return [*([] if is_named else [_RUNNER]), _NO_PACKAGE, *given]


def check(given: Sequence[str]) -> None:
    """Asks whether the job service that the user names is there.

    Args:
        given: options for Beam, each as "--NAME=VALUE".

    Raises:
        UserError: nothing answers at `--job_endpoint` within 10 s, or it is no HOST:PORT.
    """
    for argument in given:
        name, _, endpoint = argument.partition("=")
        if name != "--job_endpoint" or endpoint == "embed":
            continue
        host, _, port = endpoint.rpartition(":")
        if not host or not port.isdigit():
            raise UserError(f"`--beam_args={argument}` needs HOST:PORT.")
        try:
            socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_S).close()
        except (OSError, OverflowError) as error:
            raise UserError(
                f"`--beam_args={argument}`: no job service of Beam answers there ({error}). Start it, or leave the"
                " option out: Beam then works in this process."
            ) from error
