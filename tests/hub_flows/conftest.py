"""The flows run in processes of their own, started by tests/test_hub_clients.py; pytest does not import them."""

collect_ignore_glob = ["*.py"]
