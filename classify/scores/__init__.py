"""How good predictions are, with intervals, and figures of that.

intervals         Wilson's, of a difference, by the bootstrap
calibration       one factor that makes decision values probabilities
temperature       that of a head: fitted on rows that it did not see, and what it gained
evaluate          accuracy, log loss, calibration error and more, of labels and probabilities
mistakes          rows and pairs of classes that a head gets wrong
conformal         sets of labels that hold the truth with a wanted coverage
folds             folds of rows: classes evenly, and what belongs together in one
cross_validation  every row predicted once, by a head that did not see it
held_out          how far a head falls on rows of a kind that it never saw
judging           by which rows a head can be judged, and what to type for it
learning_curve    accuracy over the number of training rows
figures           confusion, reliability, ROC, learning curve and benchmark, as PNG
"""
