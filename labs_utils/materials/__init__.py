"""Models and data sets on this machine: the catalog of roles, their fingerprints, and adapters made whole."""
