"""`ssd-tuner importance`: which settings of a search matter, and a smaller space without those that do not."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from data import files
from pipeline.cli import parsing
from pipeline.screen import display
from tuner_fn import objectives

if TYPE_CHECKING:
    from tuner_fn.studies.importance import Importance
    from tuner_fn.studies.search_scores import SearchScores

SUMMARY = "Show which settings of a search matter, and leave out those that do not."
USAGE = "WORKDIR [--write_space=FILE] [--epochs=N]"
EXAMPLE = "ssd-tuner importance runs/demo --write_space=smaller.yaml"
EXTRA = "pipeline"

FILE_NAME, PLOT_NAME = "importance.json", "importance.png"
_LEAST_PAIR = 0.02  # share of an interaction that is worth a line
_MOST_PAIRS = 5


def define_flags(flag_values: flags.FlagValues) -> None:
    """Adds the command's flags."""
    flags.DEFINE_string(
        "write_space",
        None,
        "File for a smaller space, for `ssd-tuner run --space=FILE`. In it, settings with little or no effect are fixed"
        " at the value of the best configuration.",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "epochs",
        None,
        "Compare scores after this many epochs. By default, the latest epoch that at least half of the"
        " configurations reached.",
        lower_bound=1,
        flag_values=flag_values,
    )


def main(arguments: Sequence[str], flag_values: flags.FlagValues) -> int:
    """Measures and shows the importance of a search's settings.

    Args:
        arguments: a run directory.
        flag_values: as `define_flags`.

    Returns:
        0, where the numbers were written.

    Raises:
        UserError: the folder has no search, nothing can be said about it, or the smaller space cannot be made.
    """
    paths = parsing.run_directory("importance", arguments, EXAMPLE)
    output = flag_values["write_space"].value
    if output is not None:
        files.check_writable(output, "--write_space")
    from tuner_fn.studies import importance, importance_plot, search_scores

    scores = search_scores.read(paths, flag_values["epochs"].value)
    with display.open_display(flag_values["verbosity"].value) as screen:
        screen.note(f"Fitting forests to {len(scores.rows)} configurations ...")
        found = importance.of_search(scores)
        about = f"after {scores.epochs} of {scores.max_epochs} epochs"
        objective = f"val {objectives.get(scores.objective).text}"
        _show(screen, found, scores, f"{objective} of {found.trials} configurations {about}")
        report = {
            "search": str(scores.folder),
            "objective": scores.objective,
            "epochs": scores.epochs,
            "max_epochs": scores.max_epochs,
            "left_out": scores.left_out_text(),
            "best": dict(scores.best()),
            **found.to_dict(),
        }
        files.write_json(paths.report / FILE_NAME, report)
        title = f"Which settings matter for {objective}, {about}"
        files.write_bytes(paths.report / PLOT_NAME, importance_plot.plot(found, title, objective))
        screen.note(f"Written to {paths.report / FILE_NAME} and {paths.report / PLOT_NAME}")
        if output is not None:
            files.write_text(output, importance.smaller_space(found, scores))
            screen.note(f"The smaller space: `ssd-tuner run --space={output} ...`")
    return 0


def _show(screen: display.Display, found: "Importance", scores: "SearchScores", title: str) -> None:
    from tuner_fn.studies import importance

    best = scores.best()
    rows: list[tuple[Any, ...]] = []
    for name, (total, low, high) in found.totals.items():
        verdict = importance.verdict(found, name)
        share = f"{found.shares[name][0]:.0%}"
        rows.append((name, share, f"{total:.0%}", f"{low:.0%} to {high:.0%}", best.get(name), verdict))
    columns = ["setting", "alone", "with interactions", f"{importance.INTERVAL:.0%} interval", "best", "effect"]
    screen.print_table(f"Share of the variance: {title}", columns, rows, first_is_whole=True)
    pairs = [(*pair, f"{share:.0%}") for pair, share in found.interactions.items() if share >= _LEAST_PAIR]
    if pairs and found.reliable:
        screen.print_table("Pairs beyond each alone", ["setting", "setting", "share"], pairs[:_MOST_PAIRS])
    unvaried = [name for name in scores.ranges if name not in found.totals]
    if unvaried:
        screen.note(f"Never varied, so not measured: {', '.join(unvaried)}.")
    if text := scores.left_out_text():
        screen.note(text)
    screen.note(f"R² of the forest on configurations that it was not fitted to: {found.r2:.2f} (1 is the best).")
    if doubt := importance.doubt(found):
        text = f"{doubt[0].upper()}{doubt[1:]}, and no setting is recommended to be left out."
        screen.note(f"{text} More configurations would help; random search spreads them evenly.")
    elif found.no_effect:
        screen.note(f"Little or no effect is shown for: {', '.join(found.no_effect)}.")
    else:
        screen.note(f"No setting is shown to have little or no effect (less than {importance.LITTLE:.0%}).")
