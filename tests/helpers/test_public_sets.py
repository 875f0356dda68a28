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


def test_a_folder_that_is_not_there_is_said(public, monkeypatch):
    monkeypatch.setenv("LABS_DATA_DIR", str(public / "elsewhere"))
    with pytest.raises(WorkbookError, match="no folder"):
        dataset("emotion")
