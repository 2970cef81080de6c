"""The report in a real browser: plots are drawn, no error is logged, nothing asked for, on desk, phone and paper."""

import pytest

from pipeline.report import comparison, page, rendering
from tests import chromium, finished_run

HOSTILE = ("</script><script>window.hacked = 1</script>", "<img src=x onerror=window.hacked=2>", "<b>bold & brave</b>")
_DRAWN = "[...document.querySelectorAll('.plot')].every((one) => one.querySelector('.main-svg'))"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs") / "demo"
    finished_run.write(root, class_names=HOSTILE)
    return root


def test_a_report_draws_without_errors_and_without_requests(run):
    path = page.write(run)
    with chromium.open_page() as browser:
        for width_px in (1280, 390):
            browser.open(path, width_px)
            assert browser.evaluate("document.body.dataset.state") == "ready"
            assert browser.evaluate(_DRAWN)
            assert browser.evaluate("document.querySelectorAll('.plot').length") >= 10
            assert browser.evaluate("document.documentElement.scrollWidth") <= width_px  # tables scroll, not the page
        assert browser.evaluate("window.hacked") is None
        # Plotly shows a name as it is written, markup included.
        shown = browser.evaluate("[...document.querySelectorAll('.legendtext')].map((one) => one.textContent).join()")
        assert "<b>bold & brave</b>" in shown
        assert browser.pdf().startswith(b"%PDF")
        assert browser.errors == []
        outside = [url for url in browser.requests if not url.startswith("data:") and url != path.resolve().as_uri()]
        assert outside == []


def test_a_comparison_draws_too(run, tmp_path):
    finished_run.write(tmp_path / "other", class_names=HOSTILE, seed=1)
    found = comparison.compare([run, tmp_path / "other"])
    path = tmp_path / "comparison.html"
    path.write_text(rendering.render("Comparison of runs", found.sections()), encoding="utf-8")
    with chromium.open_page() as browser:
        browser.open(path, 1280)
        assert browser.evaluate(_DRAWN)
        assert browser.errors == []
