"""The flows run in processes of their own, started by tests/hub/test_clients.py; pytest does not import them."""

collect_ignore_glob = ["*.py"]
