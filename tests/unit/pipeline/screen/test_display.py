"""What the display prints for events and results, without a terminal and with one."""

import io
import math
import re

import pytest
from rich.console import Console

from data import progress
from pipeline.screen import display, tables

METRICS = {
    "AP": 0.31,
    "AP50": 0.612,
    "AP_small": math.nan,
    "AP/person": 0.3,
    "AP50/person": 0.6,
    "AP/traffic [red]light[/red]": math.nan,
    "AP50/traffic [red]light[/red]": math.nan,
}


class Clock:
    """Seconds that the test moves on."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


class Screen:
    """A display without a terminal, the text that it printed, and its clock."""

    def __init__(self, **options):
        self.stream = io.StringIO()
        self.clock = Clock()
        self.display = display.Display(display.make_console(self.stream), clock=self.clock, **options)
        self.emit = self._emit

    def _emit(self, kind, **fields):
        with progress.listen(self.display.handle):
            progress.emit(kind, **fields)

    @property
    def lines(self):
        return [line.rstrip() for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def screen():
    return Screen()


def component(screen, state, seconds=None, name="Tuner"):
    screen.emit("component", name=name, state=state, index=5, total=10, seconds=seconds)


def trial(screen, number, state, score=None, reason=None):
    screen.emit(
        "trial",
        number=number,
        total=3,
        trial_id=f"{number:02d}",
        hyperparameters={"optimizer.learning_rate": 0.0123456},
        state=state,
        objective="mAP@.5",
        score=score,
        reason=reason,
    )


def epoch(screen, number, of=4, stage="search", **fields):
    screen.emit("epoch", stage=stage, epoch=number, epochs=of, loss=1.5, **fields)


def test_components_are_counted_and_timed(screen):
    component(screen, "started")
    component(screen, "done", 75.2)
    component(screen, "cached", 0.1, name="Trainer")
    component(screen, "failed", 2.0, name="Evaluator")
    component(screen, "interrupted", 3.0, name="Evaluator")
    assert screen.lines == [
        "[5/10]  Tuner ...",
        "[5/10]  Tuner: done in 1 min 15 s",
        "[5/10]  Trainer: from the cache",
        "[5/10]  Evaluator: failed in 2.0 s",
        "[5/10]  Evaluator: interrupted in 3.0 s",
    ]


def test_trials_show_score_best_and_time_left_from_measured_epochs(screen):
    component(screen, "started")
    screen.emit("plan", trials=3, epochs=6, seconds=125.0)
    trial(screen, 1, "started")
    for number in (1, 2):
        screen.clock.now_s += 10
        epoch(screen, number, of=2)
    trial(screen, 1, "done", score=0.25)
    trial(screen, 2, "failed", reason="NaN loss")
    trial(screen, 3, "done", score=0.125)
    text = "\n".join(screen.lines)
    assert "plan: at most 3 trials, 6 epochs in all; about 2 min 5 s by the first steps" in text
    # 2 of 6 epochs took 20 s: 40 s for the other four.
    assert "trial 1/3  val mAP@.5 0.250  best so far 0.250  about 40 s left" in text
    assert "trial 2/3  failed: NaN loss" in text
    assert "trial 3/3  val mAP@.5 0.125  best so far 0.250" in text
    assert "learning_rate=0.01235" in text


def test_no_more_time_is_left_than_the_minutes(screen):
    component(screen, "started")
    screen.emit("plan", trials=30, epochs=60, limit_s=50.0)
    trial(screen, 1, "started")
    screen.clock.now_s += 10
    epoch(screen, 1, of=2)
    trial(screen, 1, "done", score=0.25)
    assert "val mAP@.5 0.250  best so far 0.250  about 40 s left" in "\n".join(screen.lines)  # not 590 s


def test_a_trial_that_was_stopped_early_says_so(screen):
    trial(screen, 1, "done", score=0.25, reason="stopped early after 3 of 8 epochs")
    assert "trial 1/3  val mAP@.5 0.250  stopped early after 3 of 8 epochs  best so far 0.250" in screen.lines[0]
    rows = leaderboard_rows()
    screen.display.print_leaderboard(rows, "AP50")
    assert "stopped early" not in "\n".join(screen.lines[1:])
    rows[1]["reason"] = "stopped early after 3 of 8 epochs"
    screen.display.print_leaderboard(rows, "AP50")
    (line,) = [line for line in screen.lines[1:] if "stopped early" in line]
    assert line.split()[-3:] == ["-", "yes", "-"]


def test_a_score_that_is_no_number_is_never_the_best(screen):
    trial(screen, 1, "done", score=math.nan)
    trial(screen, 2, "done", score=0.1)
    assert "trial 1/3  val mAP@.5 -" in screen.lines[0]
    assert any("best so far 0.100" in line for line in screen.lines)


def test_without_a_terminal_epochs_are_printed_now_and_then(screen):
    component(screen, "started", name="Trainer")
    for number in range(1, 25):
        screen.clock.now_s += 4
        epoch(screen, number, of=24, stage="train", map=0.2, map50=0.4, images_per_s=99.7)
    printed = [line for line in screen.lines if "epoch" in line]
    assert printed[0].strip() == (
        "epoch 3/24  loss 1.500  val mAP 0.200  @.5 0.400  100 images/s  about 1 min 24 s left"
    )
    assert len(printed) == 8
    assert "epoch 24/24" in printed[-1]
    assert "left" not in printed[-1]


def test_the_last_epoch_is_always_printed(screen):
    component(screen, "started", name="Trainer")
    epoch(screen, 1, of=2, stage="train")
    epoch(screen, 2, of=2, stage="train")
    assert [line.split()[1] for line in screen.lines if "epoch" in line] == ["2/2"]


def test_a_sweep_of_learning_rates_is_printed_now_and_then_and_at_its_end(screen):
    for step in (1, 2, 3):
        screen.emit("sweep", repeat=1, repeats=2, step=step, steps=3, learning_rate=10.0 ** (step - 4), loss=4.0 - step)
    assert screen.lines == [
        "        repeat 1/2  step 1/3  learning rate 1.0e-03  loss 3.000",
        "        repeat 1/2  step 3/3  learning rate 1.0e-01  loss 1.000",
    ]


def test_missing_numbers_are_left_out(screen):
    screen.clock.now_s += 60
    epoch(screen, 1, map=None, map50=None)
    assert screen.lines == ["        epoch 1/4  loss 1.500"]


def test_a_note_that_comes_again_is_printed_once(screen):
    for text in ("Recognised x as coco.", "3 boxes are left out.", "Recognised x as coco."):
        screen.emit("note", text=text)
    assert screen.lines == ["        Recognised x as coco.", "        3 boxes are left out."]


def test_metrics_without_ground_truth_say_so(screen):
    screen.display.print_metrics(METRICS, "road_scenes, test split, 100 images")
    text = screen.stream.getvalue()
    assert "road_scenes, test split, 100 images" in text
    assert re.search(r"mAP@\.5 +0\.612 +IoU \.50", text)
    assert re.search(r"mAP small +no ground truth", text)
    assert re.search(r"person +0\.300 +0\.600", text)
    assert "nan" not in text
    assert "-1" not in text


def test_names_from_data_are_printed_as_they_are(screen):
    screen.display.print_metrics(METRICS, "[bold]x[/bold]")
    screen.display.note("a\x1b[31mred\x07")
    text = screen.stream.getvalue()
    assert "traffic [red]light[/red]" in text
    assert "[bold]x[/bold]" in text
    assert "\x1b" not in text
    assert "\x07" not in text


def leaderboard_rows():
    def row(rank, trial, score, rate, **values):
        return {
            "rank": rank,
            "trial": trial,
            "score": score,
            "AP50": score,
            "AP": None if score is None else score / 2,
            "epochs": None if score is None else 4,
            "fidelity": "training.data_share=0.25",
            "seconds": None if score is None else 75.0,
            "status": "completed" if score is not None else "failed",
            "reason": "" if score is not None else "out of memory",
            "parent": None,
            **({"mean": 0.3, "spread": 0.02, "seeds": 3} if rank == 1 else dict.fromkeys(("mean", "spread", "seeds"))),
            "hyperparameters": {"optimizer.learning_rate": rate, "anchors.min_scale": 0.15, **values},
        }

    return [row(1, "03", 0.3125, 0.0123), row(2, "00", 0.1, 0.2), row(None, "02", None, 0.9)]


def test_a_search_that_goes_on_knows_the_best_score_before(screen):
    component(screen, "started")
    screen.emit("plan", trials=3, epochs=6, done_trials=1, done_epochs=2, best=0.5)
    trial(screen, 2, "done", score=0.25)
    text = "\n".join(screen.lines)
    assert "plan: at most 3 trials, 6 epochs in all, 2 done before" in text
    assert "best so far 0.500" in text


def test_the_leaderboard_has_a_column_for_each_trial_failed_ones_last(screen):
    screen.display.print_leaderboard(leaderboard_rows(), "AP50")
    text = screen.stream.getvalue()
    assert screen.lines[-1] == "The trials had training.data_share=0.25."
    assert re.search(r"^ +#1 +#2 +- *$", text, re.MULTILINE)
    assert re.search(r"seconds +75 +75\b", text, re.MULTILINE)
    assert re.search(r"mean of the seeds +0.300\b", text, re.MULTILINE)
    assert re.search(r"trial id +03 +00 +02", text)
    assert re.search(r"val mAP@\.5 +0\.312 +0\.100 +failed", text)
    assert re.search(r"val mAP@\[\.5:\.95\] +0\.156 +0\.050 +-", text)
    assert re.search(r"optimizer\.learning_rate +0\.0123 +0\.2 +0\.9", text)


def test_a_leaderboard_wider_than_the_screen_is_cut_and_says_so(screen):
    screen.display.print_leaderboard(leaderboard_rows()[:1] * 12, "AP50")
    assert max(map(len, screen.lines)) <= 100
    shown = screen.stream.getvalue().count("#1")
    assert 5 < shown < 12
    assert (
        screen.lines[-1]
        == f"The trials had training.data_share=0.25. {12 - shown} more trials: see report/leaderboard.csv."
    )


def test_a_front_is_a_table_of_costs_and_scores(screen):
    costs = [{"parameters": 830_988.0, "file_mb": 3.2331}, {"parameters": 4_664_935.0, "file_mb": 18.434}]
    rows = [row | cost for row, cost in zip(leaderboard_rows()[1::-1], costs, strict=True)]
    screen.display.print_front(rows, "parameters", "AP50")
    screen.display.print_front(rows, "file_mb", "AP")
    text = screen.stream.getvalue()
    assert "Pareto front: val mAP against MB of the float32 file" in text
    assert re.search(r"trial id +parameters +val mAP@\.5 +val mAP@\[\.5:\.95\] +epochs", text)
    assert re.search(r"00 +830,988 +0\.100 +0\.050 +4", text)
    assert re.search(r"03 +18\.43 +0\.156 +0\.312 +4", text)


def test_facts_are_never_cut(screen):
    path = "/x" * 200
    screen.display.print_facts({"model": path, "TensorBoard": "tensorboard --logdir=runs/demo"})
    assert f"model        {path}" in screen.lines


def test_plain_output_has_no_control_characters(screen):
    screen.display.print_leaderboard(leaderboard_rows(), "AP50")
    component(screen, "started")
    epoch(screen, 1)
    assert all(character.isprintable() or character == "\n" for character in screen.stream.getvalue())


def test_on_a_terminal_one_line_changes_in_place():
    stream, clock = io.StringIO(), Clock()
    console = Console(file=stream, force_terminal=True, width=100, color_system=None)
    shown = display.Display(console, live=True, clock=clock)
    screen = Screen()
    with shown, progress.listen(shown.handle):
        component(screen, "started")
        screen.emit("plan", trials=3, epochs=6)
        trial(screen, 1, "started")
        clock.now_s += 30
        epoch(screen, 1, of=2, map=0.2)
        shown._live.refresh()
        during = stream.getvalue()
        component(screen, "done", 30)
    assert re.search(r"\[5/10\] Tuner +trial 1/3 +epoch 1/2 +loss 1\.500 +val mAP 0\.200 +30 s", during)
    assert "1/6 epochs  about 2 min 30 s left" in during
    assert "Tuner ..." not in during
    after = stream.getvalue()
    assert "[5/10]  Tuner: done in 30 s" in after
    assert after.count("\x1b[?25l") == after.count("\x1b[?25h") == 1  # the cursor is back


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.6, "1 min 0 s"),
        (80, "1 min 20 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations(seconds, text):
    assert tables.format_seconds(seconds) == text


def test_open_display_keeps_chatter_out_and_writes_the_log(tmp_path, capfd):
    log = tmp_path / "logs" / "run.log"
    with display.open_display(log_file=log) as shown:
        print("chatter")
        progress.emit("note", text="heard")
        shown.note("result")
    out, err = capfd.readouterr()
    assert out.split() == ["heard", "result"]
    assert err == ""
    assert "chatter" in log.read_text()
