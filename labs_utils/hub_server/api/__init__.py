"""The routes of the Hub's API, one module for each part of it."""
