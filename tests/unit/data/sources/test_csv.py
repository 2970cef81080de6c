import os
import pathlib

import numpy as np
import pytest

from data import errors, progress, sources
from data.sources import base, csv_table
from tests.format_folders import Scene, put, write_images

HEADER = "filename,xmin,ymin,xmax,ymax,class"


def open_csv(path, **options):
    return csv_table.CsvSource.open(f"csv:{path}", str(path), base.ReadOptions(**options))


def write(root, *lines, name="boxes.csv", images=("a.jpg",), below=""):
    write_images(root / below, [Scene(image, (), number) for number, image in enumerate(images)])
    return put(root / name, "\n".join(lines) + "\n")


def message_of(path):
    with pytest.raises(errors.UserError) as caught:
        open_csv(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def first(source, split="train"):
    return source.load(source.items(split)[0])


# --- the three styles


@pytest.mark.parametrize(
    ("header", "row"),
    [
        (HEADER, "a.jpg,16,12,32,36,car"),
        ("class,xmax,xmin,ymin,ymax,filename,pose", "car,32,16,12,36,a.jpg,left"),
        ("Image_Path,x1,y1,x2,y2,Label", "a.jpg,16.0,12.0,32.0,36.0,car"),
        ("filename;xmin;ymin;xmax;ymax;class", "a.jpg;16;12;32;36;car"),
        ("filename\txmin\tymin\txmax\tymax\tclass", "a.jpg\t16\t12\t32\t36\tcar"),
        ("\ufefffilename, xmin, ymin, xmax, ymax, class", '"a.jpg", 16, 12, 32, 36, "car"'),
    ],
)
def test_headers_in_any_order_and_dialect(tmp_path, header, row):
    source = open_csv(write(tmp_path, header, row))
    np.testing.assert_array_equal(first(source).boxes, np.float32([[0.25, 0.25, 0.75, 0.5]]))
    assert source.class_names == ("car",)


def test_a_split_column_and_a_size_are_read(tmp_path):
    rows = ("a.jpg,train,64,48,16,12,32,36,car", "b.jpg,Validation,64,48,1,1,9,9,person")
    file = write(tmp_path, "filename,split,width,height,xmin,ymin,xmax,ymax,class", *rows, images=("a.jpg", "b.jpg"))
    source = open_csv(file)
    assert {split: [item.source_id for item in source.items(split)] for split in source.splits} == {
        "train": ["a.jpg"],
        "val": ["b.jpg"],
    }
    assert source.items("train")[0].size == (48, 64)


def test_vertex_ais_sets_in_lower_case(tmp_path):
    corners = "0.25,0.25,,,0.5,0.75,,"
    rows = [f"{name},{name[0]}.jpg,car,{corners}" for name in ("training", "validation", "unassigned")]
    source = open_csv(write(tmp_path, *rows, images=("t.jpg", "v.jpg", "u.jpg")))
    assert {split: len(source.items(split)) for split in source.splits} == {"train": 2, "val": 1}


@pytest.mark.parametrize("corners", ["0.25,0.25,,,0.5,0.75,,", "0.25,0.25,0.5,0.25,0.5,0.75,0.25,0.75"])
def test_automl_rows_with_two_or_four_corners(tmp_path, corners):
    source = open_csv(
        write(tmp_path, f"UNASSIGNED,a.jpg,car,{corners}", "TEST,b.jpg,,,,,,,,,", images=("a.jpg", "b.jpg"))
    )
    np.testing.assert_array_equal(first(source).boxes, np.float32([[0.25, 0.25, 0.75, 0.5]]))
    assert len(first(source, "test").labels) == 0


def test_retinanet_rows_with_a_negative(tmp_path):
    source = open_csv(write(tmp_path, "a.jpg,,,,,", "b.jpg,16,12,32,36,car", images=("a.jpg", "b.jpg")))
    records = [source.load(item) for item in source.items("train")]
    assert [record.labels.tolist() for record in records] == [[], [0]]


def test_rows_of_an_image_need_not_be_neighbours(tmp_path):
    rows = ("a.jpg,1,1,9,9,car", "b.jpg,1,1,9,9,car", "a.jpg,16,12,32,36,DontCare")
    source = open_csv(write(tmp_path, HEADER, *rows, images=("a.jpg", "b.jpg")))
    assert first(source).is_crowd.tolist() == [False, True]
    assert source.class_names == ("car",)


# --- places


@pytest.mark.parametrize("below", ["", "images", "train", "images/train"])
def test_images_are_found_near_the_table(tmp_path, below):
    source = open_csv(write(tmp_path, HEADER, "a.jpg,16,12,32,36,car", below=below))
    assert source.items("train")[0].source_id == "a.jpg"
    assert len(first(source).labels) == 1


def test_roboflows_folders(tmp_path):
    for folder in ("train", "valid"):
        write(tmp_path / folder, HEADER, "a.jpg,16,12,32,36,car", name="_annotations.csv")
    source = open_csv(tmp_path)
    assert source.splits == ("train", "val")
    said = csv_table.CsvSource.recognises(tmp_path)
    assert said == "train/_annotations.csv starts as a table of boxes (header)"


def test_a_file_is_recognised_too(tmp_path):
    file = write(tmp_path, "a.jpg,16,12,32,36,car")
    assert csv_table.CsvSource.recognises(file) == "boxes.csv starts as a table of boxes (RetinaNet)"
    put(tmp_path / "classes.csv", "car,0\n")
    assert csv_table.CsvSource.recognises(tmp_path) is not None  # a list of classes is not a second table
    other = put(tmp_path / "other" / "results.csv", "epoch,loss\n1,0.5\n")
    assert csv_table.CsvSource.recognises(other) is csv_table.CsvSource.recognises(other.parent) is None


def test_images_that_no_row_names_are_noticed(tmp_path):
    file = write(tmp_path, HEADER, "a.jpg,16,12,32,36,car", images=("a.jpg", "new.jpg"))
    (notice,) = open_csv(file).notices
    assert (notice.kind, pathlib.Path(notice.file).name) == ("unnamed_image", "new.jpg")


# --- what is broken


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["epoch,loss", "1,2"],
            "its first row is neither a header with `path`, `xmin`, `ymin`, `xmax`, `ymax`, `class` nor a row of"
            " AutoML's (11 fields) or RetinaNet's (6 fields): got `epoch,loss`. Add a header.",
        ),
        ([HEADER, "a.jpg,1,2,3,4"], "row 2 has 5 fields, the first row 6. Correct it."),
        ([HEADER, '"a.jpg,1,2,3,4,car'], "malformed CSV at line 2: unexpected end of data. Correct it."),
        ([HEADER, ",1,2,3,4,car"], "row 2 names no image. Write its path or remove the row."),
        (
            ["TRAIN,gs://bucket/a.jpg,car,0.1,0.1,,,0.5,0.5,,"],
            "row 1 names `gs://bucket/a.jpg`, but only local files are read. Copy the images beside the table"
            " (`gsutil -m cp` for gs:// paths) and write their local paths.",
        ),
        (
            ["TRAIN,a.jpg,car,0.1,0.1,,,0.5,0.5,,", "HOLD,a.jpg,car,0.1,0.1,,,0.5,0.5,,"],
            "row 2 starts with `HOLD`. Write one of: TRAIN, TRAINING, UNASSIGNED, VALIDATION, VALIDATE, TEST.",
        ),
        (
            [f"{HEADER},split", "a.jpg,1,2,3,4,car,holdout"],
            "row 2 is of the split `holdout`. Write one of: train, training, val, valid, validation, test, ",
        ),
    ],
)
def test_a_broken_table_ends_with_a_clear_line(tmp_path, lines, message):
    file = write(tmp_path, *lines)
    assert message_of(file).startswith(f"{file}: {message}")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a.jpg,1,2,x,4,car", "row 2 needs xmin, ymin, xmax, ymax as numbers: got `1,2,x,4,car`"),
        ("a.jpg,1,2,,4,car", "row 2 needs xmin, ymin, xmax, ymax as numbers: got `1,2,,4,car`"),
        ("a.jpg,,,,,car", "row 2 needs xmin, ymin, xmax, ymax as numbers: got `,,,,car`"),
        ("a.jpg,1,2,3,4,", "row 2 needs a class: got `1,2,3,4,`"),
        ("a.jpg,9,9,3,4,car", "box [9, 9, -6, -5] (x, y, width, height in px) is inverted (negative width or height)"),
    ],
)
def test_a_bad_row_makes_its_example_bad_and_no_other(tmp_path, row, reason):
    source = open_csv(write(tmp_path, HEADER, row, "b.jpg,16,12,32,36,car", images=("a.jpg", "b.jpg")))
    with pytest.raises(errors.BadExampleError) as caught:
        first(source)
    assert caught.value.reason == reason
    assert len(source.load(source.items("train")[1]).labels) == 1


def test_an_empty_table_and_one_without_rows(tmp_path):
    assert "its first row is neither a header" in message_of(write(tmp_path / "a"))
    file = write(tmp_path / "b", HEADER)
    assert message_of(file) == f"Dataset `csv:{file}` has no image. Add images or correct the path."


def test_tables_in_two_styles_are_an_error(tmp_path):
    write(tmp_path, HEADER, "a.jpg,16,12,32,36,car", name="train.csv")
    write(tmp_path, "VALIDATION,a.jpg,car,0.1,0.1,,,0.5,0.5,,", name="val.csv")
    assert message_of(tmp_path) == f"Dataset `csv:{tmp_path}`: its tables differ in style. Write all of them in one."


# --- files as people have them


def test_rows_that_two_orders_could_explain_are_a_question(tmp_path):
    message = message_of(write(tmp_path, "a.jpg, 1, 20, 10, 40, 30", "a.jpg, 1, 21, 11, 41, 31"))
    assert message == (
        f"{tmp_path}/boxes.csv: row 1, `a.jpg,1,20,10,40,30`, may mean box [1, 20, 10, 40] of class `30`, or box"
        " [20, 10, 40, 30] of class `1`. Say which with a header as the first row:"
        " `filename,xmin,ymin,xmax,ymax,class` or `filename,class,xmin,ymin,xmax,ymax`."
    )


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        (["a.jpg,20,10,40,30,1", "a.jpg,1,21,11,41,3"], "1"),
        (["a.jpg,7,20,10,40,30", "a.jpg,30,20,10,40,31"], "7"),
        (["a.jpg,car,20,10,40,30"], "car"),
        (["a.jpg,20,10,40,30,car"], "car"),
    ],
)
def test_rows_that_one_order_explains_are_read_in_it(tmp_path, rows, name):
    assert name in open_csv(write(tmp_path, *rows)).class_names


def test_a_number_that_goes_with_two_names_is_an_error(tmp_path):
    header = "image_id,class_name,class_id,x_min,y_min,x_max,y_max"
    message = message_of(write(tmp_path, header, "a.jpg,car,1,1,2,3,4", "a.jpg,person,1,5,6,7,8"))
    assert message.endswith("class 1 is called `car` in row 2 and `person` in row 3. Correct one of them.")


def test_a_class_that_never_has_a_box_says_that_there_is_none(tmp_path):
    header = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"
    rows = ("a,No finding,14,R1,,,,", "b,Nodule,8,R1,1,2,30,40", "a,No finding,14,R2,,,,")
    source = open_csv(write(tmp_path, header, *rows, images=("a.jpg", "b.jpg")))
    assert source.class_names == ("Nodule",)
    assert [len(source.load(item).labels) for item in source.items("train")] == [0, 1]
    assert [notice.kind for notice in source.notices] == ["left_out", "inexact_name", "inexact_name"]
    assert source.notices[0].detail == (
        "no row of the class `No finding` has a box; its 2 rows mean images without objects"
    )


def test_a_header_that_lacks_columns_is_told_which(tmp_path):
    message = message_of(write(tmp_path, "filename,xmin,ymin,w,h,label", "a.jpg,1,2,3,4,car"))
    assert message.endswith(
        "its header row lacks `xmax`, `ymax`; it has `filename`, `xmin`, `ymin`, `w`, `h`, `label`. Name the columns"
        " `filename`, `xmin`, `ymin`, `xmax`, `ymax`, `class`, with corners in px."
    )


def test_tables_whose_names_hold_a_split_are_its(tmp_path):
    for split in ("train", "Test"):
        write_images(tmp_path / "images" / split, [Scene(f"{split}.jpg")])
        put(tmp_path / f"{split}_labels.csv", f"{HEADER}\n{split}.jpg,1,2,30,40,car\n")
    source = open_csv(tmp_path)
    assert source.splits == ("train", "test")
    assert all(len(first(source, split).labels) == 1 for split in source.splits)


def test_a_split_column_that_contradicts_its_table_is_an_error(tmp_path):
    for split in ("train", "val"):
        write(tmp_path, "split," + HEADER, "train,a.jpg,1,2,30,40,car", name=f"{split}.csv")
    assert message_of(tmp_path).endswith(
        "val.csv: row 2 is of the split `train`, in the table of val. Correct one of them."
    )


def test_rows_that_state_different_sizes_make_their_image_bad(tmp_path):
    rows = ("a.jpg,64,48,1,2,30,40,car", "a.jpg,48,64,1,2,30,40,car", "b.jpg,64,48,1,2,30,40,car")
    header = "filename,width,height,xmin,ymin,xmax,ymax,class"
    source = open_csv(write(tmp_path, header, *rows, images=("a.jpg", "b.jpg")))
    with pytest.raises(errors.BadExampleError, match="row 3 states 48x64 px, a row before it 64x48 px"):
        first(source)


@pytest.mark.parametrize("key", ["IsGroupOf", "difficult", "iscrowd"])
def test_a_flag_makes_a_region_to_ignore(tmp_path, key):
    rows = ("a.jpg,1,2,30,40,car,0", "a.jpg,1,2,31,41,car,1", "a.jpg,1,2,32,42,car,false")
    source = open_csv(write(tmp_path, f"{HEADER},{key}", *rows))
    assert first(source).is_crowd.tolist() == [False, True, False]
    source = open_csv(write(tmp_path, f"{HEADER},{key}", *rows, "b.jpg,1,2,3,4,car,maybe", images=("a.jpg", "b.jpg")))
    with pytest.raises(errors.BadExampleError, match="row 5: a flag is 0 or 1, false or true: got 'maybe'"):
        source.load(source.items("train")[1])


@pytest.mark.parametrize(
    ("spelt", "image", "kinds"),
    [
        (("a.jpg", "./a.jpg"), "a.jpg", []),
        (("A.JPG", "a.jpg"), "a.jpg", ["inexact_name"]),
        (("caf\u00e9.jpg", "cafe\u0301.jpg"), "cafe\u0301.jpg", ["inexact_name"]),
    ],
)
def test_one_image_in_two_spellings_keeps_all_its_boxes(tmp_path, spelt, image, kinds):
    rows = [f"{name},{number},2,30,40,car" for number, name in enumerate(spelt)]
    source = open_csv(write(tmp_path, HEADER, *rows, rows[0].replace("car", "dog"), images=(image,)))
    (item,) = source.items("train")
    assert item.source_id == image
    assert item.boxes == ((0, 2, 30, 40), (1, 2, 30, 40), (0, 2, 30, 40))
    assert item.problem is None
    assert [notice.kind for notice in source.notices] == kinds


def test_open_images_unknown_flag_is_not_set(tmp_path):
    rows = ("a.jpg,1,2,30,40,car,-1", "a.jpg,1,2,31,41,car,1")
    source = open_csv(write(tmp_path, f"{HEADER},IsGroupOf", *rows))
    assert source.items("train")[0].is_crowd == (False, True)


def test_a_table_in_another_encoding_is_recognised_and_says_so(tmp_path):
    file = write(tmp_path, HEADER, "\u00e9.jpg,1,2,30,40,car")
    file.write_bytes(file.read_text().encode("cp1252"))
    said = f"{file}: not UTF-8 text at byte {len(HEADER) + 1}. Export it again as CSV in UTF-8."
    for path in (file, tmp_path):
        with pytest.raises(errors.UserError) as caught:
            sources.open_source(str(path))
        assert str(caught.value) == said


def test_a_table_that_excel_wrote_in_utf_16_is_read(tmp_path):
    file = write(tmp_path, HEADER, "a.jpg,1,2,30,40,véhicule")
    file.write_bytes(file.read_text().encode("utf-16"))
    assert open_csv(file).class_names == ("véhicule",)


# --- columns of one meaning, folders that tell the split, and what lies beside


@pytest.mark.parametrize(
    ("header", "row", "said"),
    [
        (f"{HEADER},label", "a.jpg,1,2,30,40,car,dog", "`car` in the column `class` and `dog` in `label`, which both"),
        (f"{HEADER},path", "a.jpg,1,2,30,40,car,x/b.jpg", "`a.jpg` in the column `filename` and `x/b.jpg` in `path`"),
        (f"{HEADER},left", "a.jpg,1,2,30,40,car,5", "`1` in the column `xmin` and `5` in `left`, which both mean xmin"),
    ],
)
def test_columns_of_one_meaning_must_agree_in_every_row(tmp_path, header, row, said):
    file = write(tmp_path, header, row)
    assert message_of(file).startswith(f"{file}: row 2 has {said}")


def test_columns_of_one_meaning_that_agree_are_read(tmp_path):
    rows = ("a.jpg,17,/old/place/A.JPG,1,2,30,40,car,Car,1.0", "a.jpg,17,x/a.jpg,3,4,31,41,car,,3")
    source = open_csv(write(tmp_path, "filename,image_id,path,xmin,ymin,xmax,ymax,class,label,x1", *rows))
    assert source.class_names == ("car",)
    assert len(first(source).labels) == 2


def test_a_number_and_a_name_of_the_class_are_paired(tmp_path):
    header = "filename,xmin,ymin,xmax,ymax,class,class_name"
    file = write(tmp_path, header, "a.jpg,1,2,30,40,0,car", "a.jpg,3,4,31,41,1,person")
    assert open_csv(file).class_names == ("car", "person")
    file = write(tmp_path, header, "a.jpg,1,2,30,40,0,car", "a.jpg,3,4,31,41,0,person")
    assert message_of(file).endswith("class 0 is called `car` in row 2 and `person` in row 3. Correct one of them.")


def test_a_number_is_paired_with_a_column_of_its_name_only(tmp_path):
    header = "filename,xmin,ymin,xmax,ymax,label,name"
    file = write(tmp_path, header, "a.jpg,1,2,30,40,1,Anna", "a.jpg,3,4,31,41,2,Bert")
    notes = []
    with progress.listen(lambda kind, fields: notes.append(fields["text"])):
        assert open_csv(file).class_names == ("1", "2")
    assert notes == [
        f"{file}: `name` is not read, as `label` is the class. If it is the class's name, call it `class_name`."
    ]
    file = write(tmp_path, "filename,xmin,ymin,xmax,ymax,class,label", "a.jpg,1,2,30,40,0,car")
    assert message_of(file).startswith(f"{file}: row 2 has `0` in the column `class` and `car` in `label`, which both")


def test_a_name_beside_a_class_may_be_anything(tmp_path):
    file = write(tmp_path, "name,filename,xmin,ymin,xmax,ymax,class", "a,a.jpg,1,2,30,40,car")
    assert open_csv(file).class_names == ("car",)
    file = write(tmp_path, "filename,xmin,ymin,xmax,ymax,class,name", "a.jpg,1,2,30,40,,car")
    assert open_csv(file).class_names == ("car",)  # an empty column is none


@pytest.mark.parametrize(
    ("values", "splits"), [("train,A", ("train",)), ("val,Validation", ("val",)), ("train,val", None)]
)
def test_columns_of_the_split_are_compared_where_both_name_one(tmp_path, values, splits):
    file = write(tmp_path, f"{HEADER},split,set", f"a.jpg,1,2,30,40,car,{values}")
    if splits:
        assert open_csv(file).splits == splits
    else:
        assert "`train` in the column `split` and `val` in `set`, which both mean the split" in message_of(file)


def test_folders_are_listed_once_a_table_and_not_once_an_image(tmp_path, monkeypatch):
    def scans(count):
        names = [f"{number}.jpg" for number in range(count)]
        rows = [f"{name},1,2,30,40,car" for name in names]
        root = write(tmp_path / str(count), HEADER, *rows, images=names).parent
        calls, scan = [], os.scandir
        monkeypatch.setattr(os, "scandir", lambda path: calls.append(path) or scan(path))
        open_csv(root)
        monkeypatch.undo()
        return len(calls)

    assert scans(20) == scans(2)


def test_an_empty_column_of_the_class_does_not_count(tmp_path):
    header = "filename,xmin,ymin,xmax,ymax,class,class_name"
    assert open_csv(write(tmp_path, header, "a.jpg,1,2,30,40,7,", "a.jpg,3,4,31,41,8,")).class_names == ("7", "8")


def test_any_of_several_flags_makes_a_region_to_ignore(tmp_path):
    rows = ("a.jpg,1,2,30,40,car,0,1", "a.jpg,1,2,31,41,car,0,0")
    source = open_csv(write(tmp_path, f"{HEADER},iscrowd,difficult", *rows))
    assert first(source).is_crowd.tolist() == [True, False]


def test_the_width_of_a_box_is_not_that_of_the_image(tmp_path):
    header = "filename,width,height,image_width,image_height,xmin,ymin,xmax,ymax,class"
    source = open_csv(write(tmp_path, header, "a.jpg,29,38,64,48,1,2,30,40,car"))
    assert source.items("train")[0].size == (48, 64)


def test_folders_in_the_paths_tell_the_split_of_one_table(tmp_path):
    names = ("train/a.jpg", "val/b.jpg")
    for name in names:
        write_images(tmp_path / name[:-6], [Scene(name[-5:])])
    put(tmp_path / "boxes.csv", "\n".join([HEADER, *(f"{name},1,2,30,40,car" for name in names)]) + "\n")
    source = open_csv(tmp_path)
    found = {split: [item.source_id for item in source.items(split)] for split in source.splits}
    assert found == {"train": ["train/a.jpg"], "val": ["val/b.jpg"]}


def test_a_folder_of_no_split_beside_roboflows_is_noted_and_one_of_images_not(tmp_path):
    for folder in ("train", "dev"):
        write(tmp_path / folder, HEADER, "a.jpg,16,12,32,36,car", name="_annotations.csv")
    write_images(tmp_path / "pictures", [Scene("b.jpg")])
    put(tmp_path / "train" / "_annotations.csv", f"{HEADER}\na.jpg,1,2,30,40,car\nb.jpg,1,2,30,40,car\n")
    assert [(notice.kind, notice.file) for notice in open_csv(tmp_path).notices] == [
        ("inexact_name", str(tmp_path / "pictures" / "b.jpg")),
        ("left_out", str(tmp_path / "dev")),
    ]


@pytest.mark.parametrize("name", ["dev.csv", "annotations.csv"])
def test_a_second_table_is_noted(tmp_path, name):
    for table in ("train.csv", name):
        write(tmp_path, HEADER, "a.jpg,1,2,30,40,car", name=table)
    put(tmp_path / "results.csv", "epoch,loss\n1,0.5\n")  # no table of boxes
    assert [(notice.kind, notice.file, notice.detail) for notice in open_csv(tmp_path).notices] == [
        ("left_out", str(tmp_path / name), "`train.csv` is read")
    ]


def test_an_image_that_rows_name_in_two_ways_counts_once_however_the_table_is_named(tmp_path, monkeypatch):
    write(tmp_path, HEADER, "a.jpg,1,1,9,9,car", f"{tmp_path}/a.jpg,16,12,32,36,car")
    monkeypatch.chdir(tmp_path)
    for place in ("boxes.csv", tmp_path / "boxes.csv"):
        (item,) = open_csv(place).items("train")
        assert len(item.boxes) == 2


def test_width_and_height_of_the_boxes_are_not_the_images(tmp_path):
    header = "filename,xmin,ymin,xmax,ymax,width,height,class"
    rows = ["a.jpg,4,6,24,18,20,12,car", "a.jpg,8,6,38,31,30,24.4,car", "b.jpg,,,,,,,"]
    source = open_csv(write(tmp_path / "boxes", header, *rows, images=("a.jpg", "b.jpg")))
    assert [(item.size, len(item.boxes)) for item in source.items("train")] == [(None, 2), (None, 0)]
    rows[1] = "a.jpg,8,6,38,31,64,48,car"
    message = message_of(write(tmp_path / "mixed", header, *rows, images=("a.jpg", "b.jpg")))
    assert "First problem: row 3 states 64x48 px, a row before it 20x12 px." in message
