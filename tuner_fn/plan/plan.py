"""The plan: what the rules choose for a dataset, shown with reasons, and kept so that a run does not change it."""

import dataclasses
import hashlib
import html
import json
import pathlib
from collections.abc import Collection, Mapping
from typing import Any

from data import files
from models import declarations
from models.hyperparameters import ExperimentConfig
from tuner_fn import search_files
from tuner_fn.plan.fingerprint import Fingerprint
from tuner_fn.plan.rules import RULES, Choice, notes

JSON_FILE, TEXT_FILE = "plan.json", "plan.md"
COLUMNS = ("setting", "plan", "before", "why")


@dataclasses.dataclass(frozen=True)
class Plan:
    """Settings derived from a dataset.

    Attributes:
        choices: in the order of the rules.
        before: {setting: its value without the plan}, of all settings.
        about: `Fingerprint.summary`.
        notes: sentences on what no choice mends.
    """

    choices: tuple[Choice, ...]
    before: Mapping[str, Any]
    about: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """{setting: value}, as `ExperimentConfig.replace` takes it."""
        return {choice.setting: choice.value for choice in self.choices}

    def rows(self) -> list[list[str]]:
        """Lists a row of `COLUMNS` for each choice; of equal reasons in a row the first is written."""
        rows, last = [], None
        for choice in self.choices:
            reason = "" if choice.reason == last else choice.reason
            last = choice.reason
            values = (choice.value, self.before[choice.setting])
            rows.append([choice.setting, *map(declarations.text, values), reason])
        return rows

    def facts(self) -> dict[str, str]:
        """Words what the settings were derived from: {name: "train 140, val 30"}."""
        return {name.replace("_", " "): _text(value) for name, value in self.about.items()}

    def markdown(self) -> str:
        """Writes the plan for people, as Markdown."""
        lines = [
            "# Plan",
            "",
            "Settings derived from the dataset. `--set` wins over them, `--plan=off` leaves them out.",
            "",
        ]
        cells = [COLUMNS, ["---"] * len(COLUMNS), *self.rows()]
        lines += [f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |" for row in cells]
        lines += ["", *(f"{html.escape(note, quote=False)}\n" for note in self.notes)]
        lines += ["## What it was derived from", ""]
        lines += [f"- {name}: {html.escape(text, quote=False)}" for name, text in self.facts().items()]
        return "\n".join(lines) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """Returns the plan as JSON values; `from_dict` inverts."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Plan":
        """Builds a plan from `to_dict`'s result."""
        choices = tuple(Choice(**choice) for choice in values["choices"])
        return cls(choices, values["before"], values["about"], tuple(values.get("notes", ())))


def make(
    about: Fingerprint, config: ExperimentConfig, *, fixed: Collection[str] = (), searched: Collection[str] = ()
) -> Plan:
    """Applies the rules one after another; each sees what those before it chose.

    Args:
        about: numbers of dataset and machine.
        config: the settings without a plan: the preset's and the user's.
        fixed: settings that are the user's, which no rule changes; a rule is left out as a whole where its choices
            would change what one of them means.
        searched: settings that the search varies; a rule whose choice would take the effect from one is left out.

    Returns:
        The plan; a choice that is what the setting is already is left out.
    """
    choices: dict[str, Choice] = {}
    before = config.flat()
    for rule in RULES:
        if rule.is_left_out(config, fixed, searched):
            continue
        found = [choice for choice in rule.choose(about, config) if choice.setting not in fixed]
        found = [choice for choice in found if config.flat()[choice.setting] != choice.value]
        config = config.replace({choice.setting: choice.value for choice in found})
        changed = {choice.setting: choice for choice in found}
        choices = {path: choice for path, choice in choices.items() if path not in changed} | changed
    return Plan(tuple(choices.values()), before, about.summary(), tuple(notes(about, config)))


def key(parts: Mapping[str, Any]) -> str:
    """Names a plan by what it was asked for: 12 hexadecimal digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def kept(folder: pathlib.Path, wanted: str) -> Plan | None:
    """Finds the plan that a run has already; None where it has none of this `key`."""
    return search_files.read(
        folder / JSON_FILE,
        lambda saved: Plan.from_dict(plans[wanted]) if wanted in (plans := _by_key(saved)) else None,
    )


def _by_key(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Lists {key: plan} of all that a file holds."""
    return {**saved.get("others", {}), saved["key"]: saved["plan"]}


def write(folder: pathlib.Path, plan: Plan, name: str) -> None:
    """Writes `plan.json` and `plan.md` into a folder; `plan.json` keeps the plans of other keys."""
    others = search_files.read(folder / JSON_FILE, _by_key) or {}
    others.pop(name, None)
    files.write_json(folder / JSON_FILE, {"key": name, "plan": plan.to_dict(), "others": others})
    files.write_text(folder / TEXT_FILE, plan.markdown())
