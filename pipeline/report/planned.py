"""Plan: the settings that were derived from the data, each with its reason."""

from pipeline.report.contents import Contents
from pipeline.report.page_parts import Section, Table, Text
from tuner_fn.plan import plan

TITLE = "Plan"


def make(run: Contents) -> Section:
    """Makes the section."""
    if run.plan is None:
        return Section(TITLE, missing="The run has no plan.")
    if not (run.plan.choices or run.plan.notes):
        return Section(
            TITLE, missing="Nothing was derived from the data: the settings are the preset's and the user's."
        )
    about = [*run.plan.facts().items()]
    parts: list[Table | Text] = [Text(note) for note in run.plan.notes]
    if run.plan.choices:
        note = "--set wins over the plan; --plan=off leaves it out."
        parts.append(Table(plan.COLUMNS, run.plan.rows(), note=note))
    if about:
        parts.append(Table(("", ""), about, caption="What it was derived from"))
    return Section(TITLE, parts)
