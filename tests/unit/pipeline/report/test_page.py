"""The report of runs in every state: what there is is shown, what is missing is named, and nothing else is touched."""

import json
import re
import shutil

import pytest
from plotly import graph_objects

from data import errors
from data.run_directory import RunDirectory
from models.hyperparameters import ExperimentConfig
from pipeline.cli import main as command_line
from pipeline.report import contents, importances, page, page_parts, rendering
from tests import finished_run

HOSTILE = ("</script><script>alert(1)</script>", "<img src=x onerror=alert(2)>", "<b>&amp;")


def sections_of(root):
    run = contents.read(root)
    return {section.TITLE: section.make(run) for section in page.SECTIONS}


def files_of(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def figures_of(text):
    """Reads the figures out of a page."""
    return json.loads(
        re.search(r'<script type="application/json" id="figures">(.*?)</script>', text, re.DOTALL).group(1)
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs") / "demo"
    finished_run.write(root)
    return root


def test_a_run_that_has_ended_has_every_section_and_only_the_page_is_written(tmp_path):
    """And each figure is what Plotly takes; the setting that decides the scores is the most important one."""
    finished_run.write(tmp_path, num_trials=40)
    before = files_of(tmp_path)
    written = page.write(tmp_path)
    assert written == RunDirectory(tmp_path).report_page
    after = files_of(tmp_path)
    assert after.keys() - before.keys() == {written.relative_to(tmp_path)}
    assert all(after[name] == data for name, data in before.items())
    text = written.read_text(encoding="utf-8")
    assert re.findall(r'<p class="missing">(.*)</p>', text) == ["The plots need JavaScript; the tables do not."]
    figures = figures_of(text)
    assert len(figures) >= 12
    for figure in figures:
        graph_objects.Figure(figure)  # raises on a name or value that Plotly does not know
    (shares,) = [trace for figure in figures for trace in figure["data"] if trace.get("name") == "alone"]
    assert shares["y"][0] == "optimizer.learning_rate"
    assert shares["x"][0] > 0.5


def test_too_few_trials_for_importance(tmp_path):
    finished_run.write_search(tmp_path, num_trials=9)
    assert "At least 10 finished trials" in sections_of(tmp_path)["Importance of settings"].missing


def test_names_from_the_data_are_text_everywhere(tmp_path):
    finished_run.write(tmp_path, class_names=HOSTILE)
    text = page.write(tmp_path).read_text(encoding="utf-8")
    for name in HOSTILE:
        assert name not in text
    # What Plotly would take for markup is escaped for Plotly, too.
    assert "&lt;img src=x onerror=alert(2)&gt;" in json.dumps(figures_of(text))
    assert "&lt;img src=x onerror=alert(2)&gt;" in text  # and in the tables


def test_the_page_asks_for_nothing(run):
    text = page.write(run).read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    outside = re.sub(r'<script type="text/plain" id="library">.*?</script>', "", text, flags=re.DOTALL)
    assert set(re.findall(r"""\b(?:src|href)\s*=\s*["']?(#|data:|[^"']{4})""", outside)) == {"#", "data:"}
    assert "url(" not in outside


def test_a_folder_without_a_run_is_named(tmp_path, capfd):
    (tmp_path / "holiday.jpg").touch()
    assert command_line.main(["report", str(tmp_path)]) == 2
    assert "holds no run" in capfd.readouterr().err
    assert command_line.main(["report", str(tmp_path / "none")]) == 2
    assert "is not a folder" in capfd.readouterr().err
    assert command_line.main(["report"]) == 2
    assert "needs one run directory" in capfd.readouterr().err
    assert not (tmp_path / "report").exists()


def test_a_run_that_has_hardly_begun(tmp_path):
    RunDirectory(tmp_path).pipeline.mkdir()
    found = sections_of(tmp_path)
    assert "has not ended" in found["Summary"].missing
    assert found["Leaderboard"].missing == "No trial has ended yet."
    assert "no trial has been validated" in found["Learning curves"].missing.lower()
    page.write(tmp_path)


def test_a_search_that_is_running(tmp_path):
    finished_run.write_search(tmp_path, num_trials=5, num_running=1)
    found = sections_of(tmp_path)
    assert "has not ended" in found["Summary"].missing
    assert dict(found["Summary"].parts[0].rows)["search"] == "hyperband: 4 finished, 1 failed, 1 running of 6 trials"
    assert len(found["Leaderboard"].parts[0].rows) == 4
    assert found["Mistakes"].missing.startswith("The run has kept no detections")
    RunDirectory(tmp_path).report.mkdir()
    (RunDirectory(tmp_path).report / "config.json").write_text(json.dumps(ExperimentConfig().to_dict()))
    captions = [getattr(part, "caption", "") for part in sections_of(tmp_path)["How to reproduce"].parts]
    assert any(caption.startswith("Settings that the run began with") for caption in captions)
    page.write(tmp_path)


def test_a_newer_search_beside_an_older_result(tmp_path):
    finished_run.write(tmp_path, num_trials=4)
    finished_run.write_search(tmp_path, num_trials=9)
    assert "newer search has not ended" in sections_of(tmp_path)["Summary"].missing


def test_another_search_beside_the_one_of_the_result(tmp_path):
    """Trial ids begin at 0000 in each; what has come later has no part in the page, nor has a run that began later."""
    finished_run.write(tmp_path, num_trials=20)
    before = sections_of(tmp_path)
    assert before["Importance of settings"].parts
    first = RunDirectory(tmp_path).search(finished_run.KEY)
    first.rename(first.with_name("first"))
    finished_run.write_search(tmp_path, num_trials=20, seed=1)
    newest = RunDirectory(tmp_path).newest
    newest.mkdir()
    for name in ("plan.json", "invocation.json"):
        (newest / name).write_text("{}")
    found = sections_of(tmp_path)
    summary, earlier = found.pop("Summary"), before.pop("Summary")
    assert f"newest search in the folder, search/{finished_run.KEY}" in summary.missing
    assert summary.parts == earlier.parts
    assert found == before


def test_a_search_that_began_as_a_copy_is_not_the_reported_one(tmp_path):
    """A larger space begins with the trials of a smaller one, its leaderboard included."""
    finished_run.write(tmp_path, num_trials=4)
    folder = RunDirectory(tmp_path)
    first = folder.search(finished_run.KEY)
    summary = json.loads(folder.summary.read_text())
    folder.summary.write_text(json.dumps(summary | {"search": first.name}))
    shutil.copytree(first, first.with_name("larger"))  # with newer files
    assert folder.searches()[0].name == "larger"
    assert folder.reported_search() == first
    assert "newest search in the folder, search/larger" in sections_of(tmp_path)["Summary"].missing


def test_one_trial(tmp_path):
    finished_run.write_search(tmp_path, num_trials=1)
    found = sections_of(tmp_path)
    assert len(found["Leaderboard"].parts[0].rows) == 1
    assert "At least two finished trials" in found["Parallel coordinates"].missing
    page.write(tmp_path)


def test_all_trials_failed(tmp_path):
    finished_run.write_search(tmp_path, num_trials=2)
    path = RunDirectory(tmp_path).search(finished_run.KEY) / "leaderboard.json"
    rows = [
        row | {"rank": None, "score": None, "status": "failed", "reason": "<out> of memory"}
        for row in json.loads(path.read_text())
    ]
    path.write_text(json.dumps(rows))
    found = sections_of(tmp_path)
    assert "No trial was finished" in found["Leaderboard"].missing
    assert found["Failures"].parts[0].rows == [(2, "<out> of memory", "0000, 0001")]
    assert "&lt;out&gt; of memory" in page.write(tmp_path).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    [
        "summary.json",
        "plan.json",
        "history.json",
        "config.json",
        "quarantine.csv",
        "test_results.npz",
        "invocation.json",
    ],
)
def test_a_damaged_file_is_named_and_left_as_it_is(tmp_path, name):
    finished_run.write(tmp_path)
    path = RunDirectory(tmp_path).report / name
    path.write_bytes(b"\xff{" if name.endswith("csv") else path.read_bytes()[:20])
    damaged = path.read_bytes()
    summary = sections_of(tmp_path)["Summary"]
    assert [part.text for part in summary.parts[1:] if f"report/{name} cannot be read" in part.text]
    page.write(tmp_path)
    assert path.read_bytes() == damaged


def test_a_damaged_trial_and_a_damaged_leaderboard(tmp_path):
    finished_run.write(tmp_path)
    search = RunDirectory(tmp_path).search(finished_run.KEY)
    (search / "trial_0003" / "trial.json").write_text("{}")
    (search / "leaderboard.json").write_text("[{}]")
    run = contents.read(tmp_path)
    assert sorted(problem.split(" ")[0] for problem in run.problems) == [
        f"search/{finished_run.KEY}/leaderboard.json",
        f"search/{finished_run.KEY}/trial_0003/trial.json",
    ]
    assert len(run.rows) == 12  # the report's own copy
    page.write(tmp_path)


def test_a_thousand_trials_stay_below_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(importances, "MOST_TRIALS", 20)
    finished_run.write(tmp_path, num_trials=1000)
    text = page.write(tmp_path).read_text(encoding="utf-8")
    assert len(text.encode()) <= rendering.MOST_BYTES
    assert "969 more trials are in report/leaderboard.csv" in text


def test_pictures_give_way_where_the_page_would_be_too_large(monkeypatch):
    monkeypatch.setattr(rendering, "MOST_BYTES", 20_000)
    picture = page_parts.Pictures("Worst", [("data:image/jpeg;base64," + "A" * 30_000, "one")])
    text = rendering.render("Run", [page_parts.Section("Images", [picture, page_parts.Text("kept")])])
    assert len(text) < 20_000
    assert "Left out" in text
    assert "kept" in text


def test_long_curves_get_fewer_points_where_the_page_would_be_too_large(monkeypatch):
    """A thousand trials of a hundred epochs are one line, which a None divides; each keeps its ends."""
    monkeypatch.setattr(rendering, "MOST_BYTES", 200_000)
    monkeypatch.setattr(rendering, "_packed_plotly", lambda: "")
    x = [*range(1, 101), None] * 1000
    line = {"type": "scatter", "mode": "lines+markers", "x": x, "y": x, "text": ["trial"] * len(x)}
    short = {"type": "scatter", "mode": "lines", "x": [*range(100)], "y": [*range(100)]}
    plot = page_parts.Plot(page_parts.figure([line, short]), "Trials.")
    text = rendering.render("Run", [page_parts.Section("Curves", [plot])])
    assert len(text.encode()) <= 200_000
    assert re.search(r"Trials\. One in \d+ points is drawn, to keep the page below 5 MB\.", text)
    thinned, same = rendering._thinned_plot(plot, 32).figure["data"]
    assert same == short
    assert len(thinned["x"]) == len(thinned["y"]) == len(thinned["text"]) < len(x) / 10
    assert [thinned["x"].count(value) for value in (1, 100, None)] == [1000] * 3
    assert thinned["x"] == thinned["y"]


def test_a_curve_keeps_its_points_where_it_is_thinned_and_most_epochs_have_none():
    """Of a thousand epochs each second one was validated, from the second on."""
    y = [None if epoch % 2 else epoch for epoch in range(1, 1001)]
    trace = {"type": "scatter", "mode": "lines+markers", "x": [*range(1, 1001)], "y": y}
    thinned = rendering._thinned_trace(trace, 4)
    points = [value for value in thinned["y"] if value is not None]
    assert points == [*range(2, 1001, 8), 1000]
    assert len(thinned["y"]) == 2 * len(points) - 1  # a gap stays one
    assert all(x == y for x, y in zip(thinned["x"], thinned["y"], strict=True) if y is not None)


def test_pictures_stay_where_fewer_points_are_enough(monkeypatch):
    monkeypatch.setattr(rendering, "MOST_BYTES", 60_000)
    monkeypatch.setattr(rendering, "_packed_plotly", lambda: "")
    picture = page_parts.Pictures("Worst", [("data:image/jpeg;base64," + "A" * 20_000, "one")])
    line = {"type": "scatter", "mode": "lines", "x": [*range(10_000)], "y": [*range(10_000)]}
    plot = page_parts.Plot(page_parts.figure([line]), "Loss.")
    text = rendering.render("Run", [page_parts.Section("All", [picture, plot])])
    assert len(text.encode()) <= 60_000
    assert "A" * 20_000 in text
    assert "points is drawn" in text


def test_a_report_that_fails_is_a_warning_of_the_run(run, monkeypatch, capfd):
    from pipeline.cli import run as run_command
    from pipeline.screen import display

    monkeypatch.setattr(page, "write", lambda root: 1 / 0)
    with display.open_display() as screen:
        run_command._write_page(screen, RunDirectory(run))
    assert "no report was written (ZeroDivisionError" in " ".join(capfd.readouterr().out.split())


def test_a_report_in_a_folder_that_cannot_be_written(run, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(page.files, "write_text", refuse)
    with pytest.raises(errors.UserError, match="cannot be written"):
        page.write(run)


def test_the_metric_of_a_plug_in_that_is_not_loaded(tmp_path):
    finished_run.write(tmp_path)
    for path in (RunDirectory(tmp_path).report / "summary.json", *tmp_path.glob("search/*/search.json")):
        value = json.loads(path.read_text().replace('"objective": "AP50"', '"objective": "mine"'))
        value.get("metrics", {})["mine"] = 0.5
        path.write_text(json.dumps(value))
    assert dict(sections_of(tmp_path)["Summary"].parts[0].rows)["test result"] == "mine 0.500 on 8 images"
    page.write(tmp_path)


def test_a_setting_that_this_version_does_not_know_is_named_with_its_file(tmp_path):
    finished_run.write(tmp_path)
    path = RunDirectory(tmp_path).report / "config.json"
    config = json.loads(path.read_text())
    config["model"]["gone"] = 1
    path.write_text(json.dumps(config))
    run = contents.read(tmp_path)
    assert run.config is None
    (problem,) = run.problems
    assert problem.startswith("report/config.json cannot be read")
    assert "`model.gone`" in problem
    page.write(tmp_path)
