"""datasets: pushed with splits and configurations, loaded, streamed."""

import socket

_RESOLVED: set[str] = set()
_getaddrinfo = socket.getaddrinfo


def _watched(host, *arguments, **options):
    _RESOLVED.add(host)
    return _getaddrinfo(host, *arguments, **options)


socket.getaddrinfo = _watched  # before any client is imported

from datasets import Dataset, DatasetDict, get_dataset_config_names, load_dataset  # noqa: E402

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


def flow_another_split():
    PARTS["test"].push_to_hub("ada/data", split="extra")
    assert load_dataset("ada/data", split="extra").num_rows == 40


def flow_no_other_host_is_reached():
    """The viewer's host is the only other name that is ever looked up; it has no address anywhere."""
    assert {"127.0.0.1", "datasets-server.127.0.0.1"} >= _RESOLVED


if __name__ == "__main__":
    run(globals())
