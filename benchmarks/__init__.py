"""`make bench`: what the workbook costs, measured in one run and written into one table, benchmarks/RESULTS.md.

A module here offers `rows()`: an iterator of `data.recipes.results.Row`s. Machines differ: read ratios within a run,
not seconds.
"""
