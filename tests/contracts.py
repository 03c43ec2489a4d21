"""Contract suites: one class of tests, inherited once for each implementation."""
