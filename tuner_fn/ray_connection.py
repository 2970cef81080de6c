"""Joins a Ray cluster. Nothing here imports TensorFlow: a command asks before it starts anything."""

import logging
import signal
import socket
import threading

import ray

from data.errors import UserError

AUTO = "auto"  # the cluster that this machine belongs to
_PATIENCE_S = 10.0  # for an address that does not answer


def connect(address: str) -> None:
    """Joins a cluster; nothing happens where this process has done so.

    Args:
        address: HOST:PORT of its head, or `AUTO`.

    Raises:
        UserError: there is no such cluster, or it does not answer within 10 s.
    """
    if ray.is_initialized():
        return
    _check_answers(address)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        ray.init(address=address, namespace="ssd-tuner", log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"`--ray={address}`: no Ray cluster was joined ({reason})") from error
    finally:  # SIGTERM keeps its meaning: what was done is saved
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _check_answers(address: str) -> None:
    if address == AUTO:
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        raise UserError(
            f"`--ray={address}` needs HOST:PORT of the cluster's head, as 10.0.0.1:6379, or {AUTO}. The command itself"
            " has to run on a node of the cluster."
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_S).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"`--ray={address}`: no Ray cluster answers there ({error}).") from error
