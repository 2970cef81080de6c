"""How to reproduce: the command, and what its result depends on."""

import json

from pipeline.report.contents import Contents
from pipeline.report.page_parts import Code, Part, Section, Table

TITLE = "How to reproduce"


def make(run: Contents) -> Section:
    """Makes the section."""
    parts: list[Part] = []
    missing = ""
    if run.invocation:
        parts.append(Code(run.invocation["command"]))
    else:
        missing = "The command was not kept: the run was made by an older version."
    search = run.search.get("search", {})
    facts = [("seed", str(search["seed"]))] if "seed" in search else []
    if run.dataset is not None:
        facts += [("dataset", run.dataset.spec), ("fingerprint of the data", run.dataset.fingerprint)]
    if "code" in run.search:
        facts.append(("hash of the training code", str(run.search["code"])))
    facts += [(name, version) for name, version in run.invocation.get("versions", {}).items()]
    if "system" in run.invocation:
        facts.append(("system", f"{run.invocation['system']}, {run.invocation.get('cores')} cores"))
    parts.append(Table(("", ""), facts))
    if run.config is not None:
        whose = "of the final model" if run.summary is not None else "that the run began with"
        parts.append(Code(_settings(run), f"Settings {whose}: report/config.json, for run --config"))
    return Section(TITLE, parts, missing)


def _settings(run: Contents) -> str:
    """Lists the settings of the final model, a group a line."""
    return "\n".join(f"{group}: {json.dumps(values)}" for group, values in run.config.items())
