"""Which recipe is worth its time: tried on a sample, judged, timed.

grid        which passes of backbones are tried
sample      rows of the source: seeded, stratified, nested
compare     differences on the same rows, and how many rows would tell
extraction  features of the sample by one pass: made, kept, timed, judged
front       contenders, the Pareto front, which of them is named
budget      time that the work may take
race        rounds: few rows of every pass, more rows of those that are not behind
record      the folder, what it keeps, and speeds that were measured before
advice      lines for people, and the commands that go on
figure      the front as PNG
frontier    frontier(): all of it, as one document
"""
