"""Penalized logistic regression: its one solver, and how its penalty is chosen.

softmax  several fits over the same rows by L-BFGS, loosely or to the end
penalty  a path from strong penalties to weak ones, judged by rows that a fit did not see
"""
