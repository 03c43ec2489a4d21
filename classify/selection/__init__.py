"""Many heads tried, and one chosen by rows that it did not learn from.

trials       configurations of heads, and the journal by which an interrupted sweep goes on
leaderboard  results ranked, the winner chosen
division     the rows that judge: validation rows, or folds
options      how heads are tried
plan         what is trained on all rows, what on few first, what not at all
groups       configurations that share work are trained together
workers      trainings on all cores, kept as they finish
sweep        sweep(): configurations of grids on the same rows
search       search(): configurations that Optuna proposes
"""
