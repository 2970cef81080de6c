"""Hands a compiled pipeline to a Kubeflow Pipelines server."""

import contextlib
import io
import os

from data.errors import UserError

EXPERIMENT = "ssd-tuner"


def submit(path: str | os.PathLike[str], host: str, *, experiment: str = EXPERIMENT, namespace: str = "") -> str:
    """Starts a run.

    Args:
        path: compiled file.
        host: address of the server, as http://localhost:8080. A token in `KF_PIPELINES_SA_TOKEN_PATH` is used, as
            `kfp.Client` does.
        experiment: that the run is shown in; it is made where there is none.
        namespace: of a user of the Kubeflow platform; "" for a server of its own.

    Returns:
        Address of the run's page.

    Raises:
        UserError: the server does not answer, or refuses.
    """
    import kfp
    import kfp_server_api
    import urllib3

    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints addresses
            client = kfp.Client(host=host, namespace=namespace)
            run = client.create_run_from_pipeline_package(
                str(path), experiment_name=experiment, namespace=namespace or None
            )
    except kfp_server_api.ApiException as error:
        raise UserError(
            f"`--submit={host}`: the server refused ({error.status} {error.reason}): {_text(error)}"
        ) from error
    except (urllib3.exceptions.HTTPError, TimeoutError, OSError) as error:
        raise UserError(
            f"`--submit={host}`: no Kubeflow Pipelines server answers there ({type(error).__name__}). Start"
            " `kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80` and give --submit=http://localhost:8080."
        ) from error
    return f"{host.rstrip('/')}/#/runs/details/{run.run_id}"


def _text(error: Exception) -> str:
    body = getattr(error, "body", None) or ""
    return " ".join(str(body.decode(errors="replace") if isinstance(body, bytes) else body).split())[:300]
