"""A JupyterHub for a class, with walls between its students."""
