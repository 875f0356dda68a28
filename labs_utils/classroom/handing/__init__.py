"""Handing out and in: what a class gets, what its students give back, and how it is taken in."""
