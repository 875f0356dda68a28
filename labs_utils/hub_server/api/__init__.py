"""The routes of the Hub's API, one module for each part of it.

Each route says which function of the client asks it, or which specification it follows. The Hub's own description of
its API is at https://huggingface.co/docs/hub/api.
"""
