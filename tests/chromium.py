"""A page in headless Chromium, driven through the pipe of its debugging protocol: what it logs, asks for and shows."""

import base64
import contextlib
import fcntl
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--remote-debugging-pipe",
    "--enable-unsafe-swiftshader",  # WebGL without a GPU
    "--disable-background-networking",
    "--no-first-run",
)
_TIMEOUT_S = 120
_POLL_S = 0.2


class Page:
    """A page that was opened.

    Attributes:
        errors: that it wrote to the console, and warnings of its scripts.
        requests: every address that it asked for, its own included.
    """

    def __init__(self, to_browser: int, from_browser: int) -> None:
        """Attaches to the browser's first page."""
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._to, self._from = to_browser, from_browser
        self._buffer, self._last_id, self._session = b"", 0, None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def open(self, path: pathlib.Path, width_px: int) -> None:
        """Opens a file in a window of a width, without a network, and waits until the page says that it is drawn."""
        self.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
        self.resize(width_px, 900)
        self.call("Page.navigate", url=path.resolve().as_uri())
        end_s = time.monotonic() + _TIMEOUT_S
        while self.evaluate("document.body ? document.body.dataset.state || '' : ''") == "":
            assert time.monotonic() < end_s, f"the page was not drawn within {_TIMEOUT_S} s: {self.errors}"
            time.sleep(_POLL_S)

    def resize(self, width_px: int, height_px: int) -> None:
        """Sets the window's size, as of a phone where it is narrow."""
        size = {"width": width_px, "height": height_px, "deviceScaleFactor": 1, "mobile": width_px < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def evaluate(self, expression: str) -> Any:
        """Evaluates JavaScript in the page and returns its value."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def screenshot(self) -> bytes:
        """Returns the whole page as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def pdf(self) -> bytes:
        """Prints the page on A4."""
        size = {"paperWidth": 8.27, "paperHeight": 11.69, "printBackground": True, "preferCSSPageSize": True}
        return base64.b64decode(self.call("Page.printToPDF", **size)["data"])

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Calls a method of the protocol and waits for its answer."""
        self._last_id += 1
        message = {"id": self._last_id, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._last_id:
                assert "error" not in answer, answer
                return answer["result"]

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            data = os.read(self._from, 1 << 20)
            assert data, "Chromium has ended"
            self._buffer += data
        raw, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(raw)
        method, given = message.get("method"), message.get("params", {})
        if method == "Runtime.consoleAPICalled" and given["type"] in ("error", "warning", "assert"):
            self.errors.append(" ".join(str(one.get("value", one.get("description"))) for one in given["args"]))
        elif method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(given["exceptionDetails"]))
        elif method == "Log.entryAdded" and given["entry"]["level"] == "error":
            self.errors.append(given["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(given["request"]["url"])
        return message


@contextlib.contextmanager
def open_page() -> Iterator[Page]:
    """Starts Chromium; a test is skipped where there is none."""
    program = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(_NAMES)} is installed")
    # The browser reads commands from descriptor 3 and answers on 4; ours must not be one of these.
    (commands, to_browser), (from_browser, answers) = ([_moved(end) for end in os.pipe()] for _ in range(2))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [program, *_FLAGS, f"--user-data-dir={profile}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: (os.dup2(commands, 3), os.dup2(answers, 4)),
            close_fds=False,
        )
        os.close(commands)
        os.close(answers)
        try:
            yield Page(to_browser, from_browser)
        finally:
            process.terminate()
            process.wait()
            os.close(to_browser)
            os.close(from_browser)


def _moved(descriptor: int) -> int:
    """Gives a descriptor a number above those that the browser expects."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 20)
    os.close(descriptor)
    return moved
