"""datasets: pushed with splits and configurations, loaded, streamed."""

import os
import socket
from pathlib import Path

_RESOLVED: set[str] = set()
_getaddrinfo = socket.getaddrinfo


def _watched(host, *arguments, **options):
    _RESOLVED.add(host)
    return _getaddrinfo(host, *arguments, **options)


socket.getaddrinfo = _watched  # before any client is imported

import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from datasets import Dataset, DatasetDict, get_dataset_config_names, load_dataset  # noqa: E402
from huggingface_hub import HfFileSystem  # noqa: E402

from tests.hub.flows import ada, run  # noqa: E402

PARTS = DatasetDict(
    {
        part: Dataset.from_dict({"text": [f"{part} {row}" for row in range(40)], "label": [0, 1] * 20})
        for part in ("train", "test")
    }
)


def flow_push_and_load():
    PARTS.push_to_hub("ada/data", private=True)
    loaded = load_dataset("ada/data")
    assert {part: loaded[part].to_list() for part in loaded} == {part: PARTS[part].to_list() for part in PARTS}


def flow_another_configuration_in_shards():
    PARTS.push_to_hub("ada/data", config_name="second", num_shards={"train": 3, "test": 1})
    assert sorted(get_dataset_config_names("ada/data")) == ["default", "second"]
    assert len([name for name in ada().list_repo_files("ada/data", repo_type="dataset") if "of-00003" in name]) == 3


def flow_streaming():
    rows = load_dataset("ada/data", "second", split="train", streaming=True)
    assert [row["text"] for row in rows] == PARTS["train"]["text"][:]


def flow_streaming_a_large_file():
    """50 MB of Parquet: the first rows and the last ones, without the file as a whole."""
    schema = pa.schema([("number", pa.int64()), ("noise", pa.binary())])
    path = Path(os.environ["FLOW_FOLDER"]) / "large.parquet"
    with pq.ParquetWriter(path, schema, compression="none") as writer:
        for group in range(50):
            numbers = list(range(10 * group, 10 * group + 10))
            writer.write_table(pa.table({"number": numbers, "noise": [os.urandom(100_000) for _ in numbers]}, schema))
    assert path.stat().st_size > 50_000_000
    ada().create_repo("ada/large", repo_type="dataset")
    ada().upload_file(repo_id="ada/large", repo_type="dataset", path_in_repo="train.parquet", path_or_fileobj=path)
    rows = load_dataset("ada/large", split="train", streaming=True)
    assert [row["number"] for row in rows.take(25)] == list(range(25))
    assert [row["number"] for row in rows.skip(490)] == list(range(490, 500))
    with HfFileSystem(token=ada().token).open("datasets/ada/large/train.parquet", "rb") as file:
        last = pq.ParquetFile(file).read_row_group(49)
    assert last["number"].to_pylist() == list(range(490, 500))


def flow_another_split():
    PARTS["test"].push_to_hub("ada/data", split="extra")
    assert load_dataset("ada/data", split="extra").num_rows == 40


def flow_no_other_host_is_reached():
    """The viewer's host is the only other name that is ever looked up; it has no address anywhere."""
    assert {"127.0.0.1", "datasets-server.127.0.0.1"} >= _RESOLVED


if __name__ == "__main__":
    run(globals())
