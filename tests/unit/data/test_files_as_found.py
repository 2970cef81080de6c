"""Files as tools and people leave them: what is read, what is said of it, and where it stops with a question.

Everything that is read is also converted to every format and ingested, without losing a box.
"""

import re

import pytest

from data import convert, errors, sources
from data.checks import dataset
from pipeline.cli import main
from pipeline.components import ingest
from tests import broken_corpus, format_folders, found_formats, found_tools

CASES = found_formats.CASES | found_tools.CASES


@pytest.fixture
def root(tmp_path, request):
    """Writes a case's files."""
    corpus = broken_corpus.Corpus(tmp_path / "set")
    corpus.write_files(CASES[request.param].make(corpus))
    return corpus.root


def count_objects(source):
    """Counts the objects of a dataset's usable images, by class."""
    counts = dict.fromkeys(source.class_names, 0)
    for split in source.splits:
        for item in source.items(split):
            try:
                found = source.load(item)
            except errors.BadExampleError:
                continue
            for label in found.labels[~found.is_crowd]:
                counts[source.class_names[label]] += 1
    return counts


def test_every_format_of_files_goes_all_ways():
    assert {*format_folders.KINDS.values(), "visdrone"} <= {CASES[name].kind for name in READ}


READ = [name for name, case in CASES.items() if not case.stops]
STOPPED = [name for name, case in CASES.items() if case.stops]


@pytest.mark.parametrize(("root", "name"), [(name, name) for name in READ], indirect=["root"])
def test_what_is_read_is_whole_and_what_is_odd_is_found(root, name):
    case = CASES[name]
    report = dataset.check(sources.open_source(str(root), required_splits=(), carve=False))
    assert sources.canonical(str(root)) == f"{case.kind}:{root}"
    assert {split: totals.num_good for split, totals in report.totals.items()} == case.splits
    boxes = sum(totals.num_boxes for totals in report.totals.values())
    assert dict(zip(report.class_names, boxes.tolist(), strict=True)) == case.boxes
    assert report.findings.kinds() == list(case.found)


@pytest.mark.parametrize(("root", "name"), [(name, name) for name in STOPPED], indirect=["root"])
def test_what_contradicts_itself_stops_every_command_with_one_line(root, name, tmp_path, capsys):
    for command in (["data", "check"], ["data", "convert", "--format=coco", f"--output={tmp_path}/out"]):
        assert main.main([*command, f"--dataset={root}"]) == 2
        last = capsys.readouterr().err.strip().splitlines()[-1]
        assert last.startswith("ssd-tuner: error: ")
        assert re.search(CASES[name].stops, last)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("root", "name"), [(name, name) for name in READ], indirect=["root"])
def test_what_is_read_loses_no_object_on_its_way(root, name, tmp_path):
    case = CASES[name]
    source = sources.open_source(str(root), required_splits=(), carve=False)
    if all(case.splits.values()):
        for format_name in convert.FORMATS:
            output = tmp_path / format_name
            convert.convert(source, format_name, output)
            again = sources.open_source(f"{format_name}:{output}", required_splits=(), carve=False)
            assert {key: count for key, count in count_objects(again).items() if count} == {
                key: count for key, count in case.boxes.items() if count
            }
    for split in source.splits:
        for shard in ingest.plan_shards(split, source.items(split), str(tmp_path / "records" / split)):
            summary = ingest.write_shard(shard, source)
            assert summary.num_examples == case.splits[split]
