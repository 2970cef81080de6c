"""`ssd-tuner board`: a run in TensorBoard, or its searches in Optuna's dashboard, on this machine alone."""

import socket
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from data import errors
from data.run_directory import RunDirectory
from pipeline import environment
from pipeline.cli import parsing
from pipeline.screen import display

if TYPE_CHECKING:
    import optuna

SUMMARY = "Review a run in TensorBoard, or its searches in Optuna's dashboard."
USAGE = "WORKDIR [--port=PORT] [--optuna]"
EXAMPLE = "ssd-tuner board runs/demo"
EXTRA = "pipeline"

_HOST = "127.0.0.1"  # never another machine's: neither server asks who is there
_DASHBOARD = "dashboard"  # the extra with Optuna's dashboard
_KEPT = "images=200,pr_curves=200,scalars=2000"  # of each tag; TensorBoard would draw ten images at random


def define_flags(flag_values: flags.FlagValues) -> None:
    """Adds the command's flags."""
    flags.DEFINE_integer(
        "port",
        0,
        "Port on this machine; 0 takes a free one. The address is printed.",
        lower_bound=0,
        upper_bound=65535,
        flag_values=flag_values,
    )
    flags.DEFINE_boolean(
        "optuna",
        False,
        "Open Optuna's dashboard on the trials of the run's searches, whatever their strategy.",
        flag_values=flag_values,
    )


def main(arguments: Sequence[str], flag_values: flags.FlagValues) -> int:
    """Serves until Ctrl-C.

    Args:
        arguments: the run directory.
        flag_values: as `define_flags`.

    Returns:
        0 after Ctrl-C.

    Raises:
        UserError: not one run directory is named, it has nothing to show yet, the port is taken, or a library is
            missing.
    """
    folder = parsing.run_directory("board", arguments, EXAMPLE)
    port = flag_values["port"].value
    has_optuna = flag_values["optuna"].value
    _check(folder, "searches" if has_optuna else "logs")
    _check_port(port)
    if has_optuna:
        environment.check_environment(_DASHBOARD)
    with display.open_display(flag_values["verbosity"].value) as screen:
        screen.note("Starting ...")
        url = serve_studies(folder, port) if has_optuna else serve_logs(folder, port)
        name = "Optuna's dashboard" if has_optuna else "TensorBoard"
        screen.note(f"{name} is at {url} (Ctrl-C ends it)")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            screen.note("Ended.")
    return 0


def serve_logs(folder: RunDirectory, port: int) -> str:
    """Starts TensorBoard in a thread of this process; new logs appear while a run continues.

    Args:
        folder: of a run.
        port: 0 for a free one.

    Returns:
        Its address.

    Raises:
        UserError: the port is taken.
    """
    from tensorboard import default, program

    server = program.TensorBoard(plugins=default.get_plugins())
    given = {"logdir": folder.tensorboard, "host": _HOST, "port": port, "samples_per_plugin": _KEPT}
    server.configure(argv=["tensorboard", *(f"--{name}={value}" for name, value in given.items())])
    try:
        return server.launch()
    except program.TensorBoardServerException as error:
        raise _taken(port) from error


def serve_studies(folder: RunDirectory, port: int) -> str:
    """Starts Optuna's dashboard in a thread of this process, on copies of the searches in memory.

    Args:
        folder: of a run.
        port: 0 for a free one.

    Returns:
        Its address.

    Raises:
        UserError: the port is taken.
    """
    import optuna_dashboard
    from werkzeug import serving

    class Quiet(serving.WSGIRequestHandler):
        """Leaves out a line a request."""

        def log(self, *_: object) -> None:
            """Says nothing."""

    app = optuna_dashboard.wsgi(read_studies(folder))
    try:
        server = serving.make_server(_HOST, port, app, threaded=True, request_handler=Quiet)
    except (OSError, SystemExit) as error:  # Werkzeug ends the process where a port is taken
        raise _taken(port) from error
    threading.Thread(target=server.serve_forever, name="dashboard", daemon=True).start()
    return f"http://{_HOST}:{server.port}/"


def read_studies(folder: RunDirectory) -> "optuna.storages.InMemoryStorage":
    """Copies the trials of all searches into memory, a study for each, the newest first."""
    import optuna

    from tuner_fn import optuna_study, search_folder

    storage = optuna.storages.InMemoryStorage()
    for search in folder.searches():
        name = search_folder.logs_name(search) or search.name
        optuna_study.add(storage, name, *optuna_study.read_search(search))
    return storage


def _check(folder: RunDirectory, what: str) -> None:
    """Raises `errors.UserError` where there is no run, or one that has neither logs nor searches."""
    root = folder.root
    if not folder.metadata.exists() and not folder.tensorboard.exists():
        raise errors.UserError(f"`{root}` is not a run directory. Name the --workdir of a run. Example: {EXAMPLE}")
    if what == "logs" and not any(folder.tensorboard.rglob("*tfevents*")):
        raise errors.UserError(f"`{root}` has no TensorBoard logs yet: they begin with the search. Try again later.")
    if what == "searches" and not folder.searches():
        raise errors.UserError(f"`{root}` has no search yet: the run is still reading its data. Try again later.")


def _check_port(port: int) -> None:
    """Raises `errors.UserError` where the port cannot be had; before any library is loaded."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((_HOST, port))
        except PermissionError as error:
            raise errors.UserError(f"`--port={port}` needs root's rights. Choose one above 1023.") from error
        except OSError as error:
            raise _taken(port) from error


def _taken(port: int) -> errors.UserError:
    return errors.UserError(f"`--port={port}` is taken by another process. Leave --port out for a free one.")
