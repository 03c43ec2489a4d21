"""Many heads tried, and one chosen by the validation rows.

trials       configurations of heads, and the journal by which an interrupted sweep goes on
leaderboard  results ranked, the winner chosen
groups       configurations that share work are trained together
sweep        sweep(): every configuration on the same rows
search       search(): configurations that Optuna proposes
"""
