"""With LABS_DATA_DIR set, a role has real rows under the same file names and fields, or says what is wrong."""

import csv
import gzip

import pytest
from datasets import load_dataset

from labs_utils.errors import WorkbookError
from labs_utils.materials.catalog import dataset


@pytest.fixture
def public(tmp_path, monkeypatch):
    """A folder of public sets in their own formats: two emotion splits, and hotel reviews packed with gzip."""
    monkeypatch.setenv("LABS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LABS_DATA_DIR", str(tmp_path / "public"))
    emotion, hotels = tmp_path / "public" / "emotion", tmp_path / "public" / "chnsenticorp_htl"
    emotion.mkdir(parents=True)
    hotels.mkdir()
    (emotion / "train.txt").write_text("i feel; well;joy\ni feel alone;sadness\n")
    (emotion / "val.txt").write_text("i feel uneasy;fear\n")
    rows = 'label,review\n1,"干净, 安静"\n0,太吵\n1,\n'
    (hotels / "ChnSentiCorp_htl_all.csv.gz").write_bytes(gzip.compress(rows.encode()))
    return tmp_path / "public"


def test_emotion_keeps_its_fields_and_loses_the_split_that_is_not_there(public, tmp_path):
    loaded = load_dataset(dataset("emotion"), cache_dir=str(tmp_path))
    assert loaded["train"].to_dict() == {"text": ["i feel; well", "i feel alone"], "label": [1, 0]}
    assert loaded["validation"].features["label"].names[loaded["validation"][0]["label"]] == "fear"
    assert set(loaded) == {"train", "validation"}


def test_hotel_reviews_are_real_in_chinese_and_ours_in_english(public, tmp_path):
    folder = dataset("hotel_reviews")
    real = load_dataset(folder, "zh", split="train", cache_dir=str(tmp_path))
    assert real.to_dict() == {"label": [1, 0, 1], "review": ["干净, 安静", "太吵", None]}
    assert len(load_dataset(folder, "en", split="train", cache_dir=str(tmp_path))) > 1000


def test_rows_that_changed_on_disk_are_read_again(public):
    with open(f"{dataset('emotion')}/train.csv", newline="") as file:
        assert len(list(csv.reader(file))) == 3
    (public / "emotion" / "train.txt").write_text("just one;joy\n")
    with open(f"{dataset('emotion')}/train.csv", newline="") as file:
        assert len(list(csv.reader(file))) == 2


def test_other_roles_and_an_unset_variable_mean_our_rows(public, monkeypatch):
    assert dataset("topics").endswith("data/datasets/topics")
    monkeypatch.delenv("LABS_DATA_DIR")
    assert dataset("emotion").endswith("data/datasets/emotion")


def test_a_damaged_row_is_named_and_leaves_nothing_behind(public, tmp_path):
    (public / "emotion" / "val.txt").write_text("fine;joy\nno label here\n")
    with pytest.raises(WorkbookError, match="val.txt .*row 2 has 1 fields, and 2 were expected"):
        dataset("emotion")
    assert not (tmp_path / "home" / "cache" / "public" / "emotion").exists()


def hotels(public, raw: str | bytes) -> list[tuple]:
    """The rows that a chapter gets from a file of hotel reviews with this content."""
    path = public / "chnsenticorp_htl" / "ChnSentiCorp_htl_all.csv"
    path.write_bytes(raw if isinstance(raw, bytes) else raw.encode())
    rows = load_dataset(dataset("hotel_reviews"), "zh", split="train", cache_dir=str(public / "cache"))
    return [(row["label"], row["review"]) for row in rows]


KEPT = {
    "a quoted line break": ('label,review\n1,"a\n\nb, c"\n', [(1, "a\n\nb, c")]),
    "line ends of Windows": ('label,review\r\n1,"a\r\nb"\r\n', [(1, "a\r\nb")]),
    "separators that are no line ends": ("label,review\n1,a\x85b\u2028c\x0bd\n", [(1, "a\x85b\u2028c\x0bd")]),
    "a byte-order mark": ("\ufefflabel,review\n1,好\n", [(1, "好")]),
    "a header in quotes": ('"label","review"\n1,好\n', [(1, "好")]),
    "semicolons": ("label;review\n1;好, 很好\n", [(1, "好, 很好")]),
    "tabs": ("label\treview\n1\t好, 很好\n", [(1, "好, 很好")]),
    "a swapped header": ("review,label\n好,1\n", [(1, "好")]),
    "blank lines": ("label,review\n1,好\n\n0,吵\n\n\n", [(1, "好"), (0, "吵")]),
    "a very long field": (f"label,review\n1,{'好' * 200_000}\n", [(1, "好" * 200_000)]),
    "words for nothing": (
        "label,review\n1,null\n0,NA\n1,None\n0,nan\n",
        [(1, "null"), (0, "NA"), (1, "None"), (0, "nan")],
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_real_files_hold_is_kept(public, name):
    raw, rows = KEPT[name]
    assert hotels(public, raw) == rows


def test_gbk_is_read_and_said(public, capsys):
    assert hotels(public, "label,review\n1,很好\n".encode("gbk")) == [(1, "很好")]
    assert "was read as GBK" in capsys.readouterr().out


REFUSED = {
    "no header": ("1,好\n0,吵\n", "first line is '1,好', and the names label,review were expected"),
    "an empty file": ("", "first line is ''"),
    "an open quote": ('label,review\n1,好\n0,"吵\n', "row 2 can't be read .*Complete its quotes"),
    "a comma without quotes": ("label,review\n1,好\n0,吵,脏\n", "row 2 has 3 fields"),
    "another label": ("label,review\n1,好\n5,吵\n", "row 2: the label is '5', and one of 0, 1"),
    "UTF-16": ("label,review\n1,好\n".encode("utf-16"), "line 1 is not in UTF-8"),
    "bytes of no encoding": (b"label,review\n1,\xff\xff\n", "line 2 is not in UTF-8"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_named(public, name):
    raw, sentence = REFUSED[name]
    with pytest.raises(WorkbookError, match=f"ChnSentiCorp_htl_all.csv in LABS_DATA_DIR: .*{sentence}"):
        hotels(public, raw)


def test_emotion_keeps_words_and_names_a_swapped_line_and_a_cut_file(public, tmp_path):
    path = public / "emotion" / "train.txt"
    path.write_text("\ufeffnull;joy\r\na\u2028b;fear\r\n\r\n", encoding="utf-8", newline="")
    rows = load_dataset(dataset("emotion"), split="train", cache_dir=str(tmp_path))
    assert rows["text"][:] == ["null", "a\u2028b"]
    for text, sentence in (
        ("joy;i feel\n", "row 1: the label is 'i feel'"),
        ("fine;joy\nlost\n", "row 2 has 1 fields"),
    ):
        path.write_text(text)
        with pytest.raises(WorkbookError, match=f"train.txt .*{sentence}"):
            dataset("emotion")
    path.write_bytes("schön;joy\n".encode("latin-1"))
    with pytest.raises(WorkbookError, match="train.txt .*line 1 is not in UTF-8"):
        dataset("emotion")
    path.unlink()
    path.with_name("train.txt.gz").write_bytes(gzip.compress(b"fine;joy\n" * 99)[:-9])
    with pytest.raises(WorkbookError, match="train.txt .*can't be read"):
        dataset("emotion")


def test_a_folder_that_is_not_there_is_said(public, monkeypatch):
    monkeypatch.setenv("LABS_DATA_DIR", str(public / "elsewhere"))
    with pytest.raises(WorkbookError, match="no folder"):
        dataset("emotion")
