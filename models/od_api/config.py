"""Reads a pipeline configuration of TensorFlow's Object Detection API into our settings.

Every field of the file gets a verdict; fields that it leaves out get the defaults of the API's protos, so that the
settings mean what the file means, even where our own defaults differ.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

from data.errors import UserError
from models import declarations
from models.hyperparameters import ExperimentConfig
from models.od_api import augment, model, train
from models.od_api import config_text as od_api_text
from models.od_api import fields as od
from models.od_api.fields import CANNOT, HONOURED, IGNORED, Child, Field, Message, Node, Outcome

_PIPELINE = Message(
    {
        "eval_config": Child(train.EVAL_CONFIG, always=True),
        "model": Child(model.MODEL, always=True),
        "train_config": Child(train.TRAIN_CONFIG, always=True),
        "train_input_reader": Child(train.INPUT_READER, repeated=True),
        "eval_input_reader": Child(train.INPUT_READER, repeated=True),
        "graph_rewriter": Child(train.GRAPH_REWRITER),
    }
)
VERDICTS = (HONOURED, IGNORED, CANNOT)
_DECLARED = {path: (field, default) for path, field, default in ExperimentConfig().items()}


@dataclasses.dataclass(frozen=True)
class Row:
    """The verdict on one field.

    Attributes:
        line: in the file, counted from 1; None for a default of the API that the file leaves unsaid.
        field: path in the file, names joined by dots.
        value: as written.
        verdict: "honoured", "ignored" or "cannot".
        becomes: settings of ours and why.
    """

    line: int | None
    field: str
    value: str
    verdict: str
    becomes: str


@dataclasses.dataclass(frozen=True)
class Imported:
    """What a configuration says.

    Attributes:
        settings: {path: value} of ours that the file or the API's defaults give.
        report: one row a field of the file in its order; then the defaults that differ from ours.
    """

    settings: Mapping[str, Any]
    report: tuple[Row, ...]

    def count(self, verdict: str) -> int:
        """Counts the fields of the file with a verdict."""
        return sum(row.verdict == verdict and row.line is not None for row in self.report)

    def experiment(self) -> ExperimentConfig:
        """Returns the whole configuration.

        Raises:
            UserError: settings contradict one another.
        """
        return ExperimentConfig().replace(self.settings)


def read(text: str, train_images: int | None = None) -> Imported:
    """Reads a configuration.

    Args:
        text: of a `pipeline.config`, in protobuf's text format.
        train_images: images in the train split, to turn steps into epochs; None where unknown.

    Returns:
        Settings and report.

    Raises:
        UserError: the text breaks the format (names the line), or is not of an SSD.

    Source: the protos of tensorflow/models, research/object_detection/protos.
    """
    root = Node(_PIPELINE, train_images=train_images)
    lost = _fill(root, od_api_text.parse(text))
    if not root.has("model.ssd"):
        raise UserError("no `model { ssd { ... } }` in it; the kit's detectors are SSDs.")
    report = _Report()
    for judgement in [*lost, *_judge(root)]:
        report.add(judgement)
    off = {path: value for path, value in augment.NONE.items() if path not in report.settings}
    report.add(_Judgement(None, "train_config.data_augmentation_options", "no others", od.honoured(off)))
    rows = sorted(report.rows, key=lambda placed: placed[0])
    return Imported(report.settings, tuple(row for _, row in rows))


@dataclasses.dataclass(frozen=True)
class _Judgement:
    """What becomes of a field; `entry` is None where it is a default."""

    entry: od_api_text.Entry | None
    path: str
    shown: str
    outcome: Outcome

    @property
    def line(self) -> int | None:
        """Where it stands in the file."""
        return self.entry.line if self.entry else None


def _fill(node: Node, block: od_api_text.Block) -> list[_Judgement]:
    """Sorts the entries of a block into the values and messages of a node; judges those that find no place."""
    lost = []
    for entry in block.entries:
        spec, path = node.spec.fields.get(entry.name), node.join(entry.name)
        if spec is None:
            lost += _judge_all(entry, path, node.spec.other or od.unknown(entry.name, node.spec.fields))
        elif isinstance(spec, Field):
            lost += _fill_value(node, entry, spec, path)
        elif not all(isinstance(value, od_api_text.Block) for value in entry.values):
            lost.append(_Judgement(entry, path, str(entry), od.refused("needs a block in braces")))
        else:
            lost += _fill_child(node, entry, spec, path)
    for name, spec in node.spec.fields.items():
        if isinstance(spec, Child) and spec.always and name not in node.nodes:
            node.nodes[name] = [Node(spec.message, node.join(name), node)]
            lost += _fill(node.nodes[name][0], od_api_text.Block(()))
    return lost


def _fill_value(node: Node, entry: od_api_text.Entry, spec: Field, path: str) -> list[_Judgement]:
    name, repeated = entry.name, isinstance(spec.default, tuple)
    try:
        values = entry.values if spec.kind is object else tuple(spec.convert(value) for value in entry.values)
        if not repeated and len(values) != 1:
            raise ValueError("takes one value.")
    except ValueError as error:
        return [_Judgement(entry, path, str(entry), od.refused(str(error).rstrip(".")))]
    if repeated:
        node.values[name] = (*node.values.get(name, ()), *values)
        node.entries.setdefault(name, []).append(entry)
        return []
    superseded, node.entries[name] = node.entries.get(name, []), [entry]
    node.values[name] = values[0]
    return [lost for old in superseded for lost in _judge_all(old, path, _again(f"line {entry.line} sets it again"))]


def _fill_child(node: Node, entry: od_api_text.Entry, spec: Child, path: str) -> list[_Judgement]:
    lost = []
    if node.spec.one_of:
        for name in [name for name in node.nodes if name != entry.name]:
            chosen = _again(f"line {entry.line} chooses `{entry.name}`")
            lost += [each for other in node.nodes.pop(name) for each in _judge_all(other.entry, other.path, chosen)]
    found = node.nodes.setdefault(entry.name, [])
    for block in entry.values:
        assert isinstance(block, od_api_text.Block)
        if spec.repeated or not found:
            found.append(Node(spec.message, f"{path}[{len(found)}]" if spec.repeated else path, node, entry))
        lost += _fill(found[-1], block)
    return lost


def _again(why: str) -> Outcome:
    return Outcome(IGNORED, why=why)


def _judge_all(entry: od_api_text.Entry, path: str, outcome: Outcome) -> list[_Judgement]:
    """Gives every field in an entry the same judgement."""
    inner = [each for value in entry.values if isinstance(value, od_api_text.Block) for each in value.entries]
    if not inner:
        return [_Judgement(entry, path, str(entry), outcome)]
    return [judgement for each in inner for judgement in _judge_all(each, f"{path}.{each.name}", outcome)]


def _judge(node: Node) -> Iterator[_Judgement]:
    """Judges the fields of a message, those of its messages included, in the order of the declarations."""
    for name, spec in node.spec.fields.items():
        if isinstance(spec, Field):
            yield from _judge_value(node, name, spec)
        elif name in node.nodes:
            for child in node.nodes[name]:
                yield from _judge_child(child, spec)
        elif spec.absent is not None:
            yield _Judgement(None, node.join(name), "absent", spec.absent(node))


def _judge_value(node: Node, name: str, spec: Field) -> Iterator[_Judgement]:
    path, entries, outcome = node.join(name), node.entries.get(name, []), spec.rule(node[name], node)
    if not entries:
        yield _Judgement(None, path, _written(spec.default), outcome)
    for number, entry in enumerate(entries):
        again = Outcome(outcome.verdict, why=f"with line {entries[0].line}") if number else outcome
        yield _Judgement(entry, path, str(entry), again)


def _judge_child(node: Node, spec: Child) -> Iterator[_Judgement]:
    """Judges a message: its presence and its fields; an empty one is a field, with the defaults it stands for."""
    chosen = spec.chosen(node) if spec.chosen is not None else None
    if node.is_empty:
        inner = [judgement.outcome for judgement in _judge(node)]
        yield _Judgement(node.entry, node.path, "{}", _combined([chosen, *inner] if chosen else inner))
        return
    if chosen is not None and (chosen.settings or chosen.verdict == CANNOT) and node.spec.other is None:
        yield _Judgement(node.entry, node.path, "{...}" if node.entry else "absent", chosen)
    yield from _judge(node)


def _combined(outcomes: list[Outcome]) -> Outcome:
    """Joins the outcomes of a message's presence and of its defaults to one: the worst verdict, all settings."""
    found = {outcome.verdict for outcome in outcomes} or {HONOURED}
    verdict = next(verdict for verdict in (CANNOT, HONOURED, IGNORED) if verdict in found)
    settings = {path: value for outcome in outcomes for path, value in outcome.settings.items()}
    reasons = dict.fromkeys(each.why for each in outcomes if each.verdict == verdict and each.why)
    if settings or len(reasons) > 1:
        reasons.pop(od.AS_HERE, None)
    return Outcome(verdict, settings, "; ".join(reasons))


class _Report:
    """Collects judgements: settings, of which the first giver wins, and rows."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}
        self.rows: list[tuple[float, Row]] = []  # with the place in the file
        self._givers: dict[str, _Judgement] = {}

    def add(self, judgement: _Judgement) -> None:
        """Takes a judgement over; a setting that cannot be makes its verdict "cannot"."""
        verdict, why, line = judgement.outcome.verdict, judgement.outcome.why, judgement.line
        taken = {}
        for path, value in judgement.outcome.settings.items():
            problem = self._problem(path, value, judgement)
            if problem is None:
                taken[path] = self.settings[path] = value
            elif problem:
                verdict, why = CANNOT, problem
        if line is None and verdict != CANNOT and all(value == _DECLARED[path][1] for path, value in taken.items()):
            return
        becomes = ", ".join(f"{path}={_written(value)}" for path, value in taken.items())
        text = ": ".join(part for part in (becomes, why) if part)
        shown = text if line is not None else f"default of the API: {text}"
        place = judgement.entry.place if judgement.entry else math.inf
        self.rows.append((place, Row(line, judgement.path, judgement.shown, verdict, shown)))

    def _problem(self, path: str, value: Any, judgement: _Judgement) -> str | None:
        """Says why a setting cannot have a value; "" where it shall not, None where it can."""
        try:
            field = _DECLARED[path][0]
            declarations.check_value(path, field, declarations.convert(path, field, value))
        except UserError as error:
            return str(error).rstrip(".")
        giver = self._givers.get(path)
        if giver is None or giver.outcome.verdict == CANNOT:
            self._givers[path] = judgement
            return None
        if self.settings[path] == value:
            return None
        if judgement.outcome.verdict == CANNOT:
            return ""
        other = f"line {giver.line}" if giver.line is not None else "the API's default"
        return f"`{path}` is {_written(self.settings[path])} by `{giver.path}` ({other}), and the kit has one for both"


def _written(value: Any) -> str:
    """Writes a value as `--set` takes it."""
    if value is None:
        return "absent"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(_written(each) for each in value) or "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
