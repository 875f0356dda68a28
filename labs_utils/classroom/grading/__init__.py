"""Grading: what was handed in runs in a sandbox, and is judged outside of it."""
