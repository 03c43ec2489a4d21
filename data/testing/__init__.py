"""What holds for every source, as tests for one of your own. Needs pytest; nothing of ours imports it.

source  SourceContract: one class of tests, inherited once for each source
"""
