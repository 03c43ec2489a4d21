"""Small classifiers: the table of them, how each learns, and a linear one as a dense layer.

parameters       what each parameter may be
entry            what an entry of the table says
table            HEADS: one entry says everything of a head
linear_decision  what linear heads share: labels to indices, decision values to probabilities
logistic         logistic regression that chooses its penalty and has converged
ridge            ridge regression, all penalties by one decomposition
linear_svm       a linear support vector machine with probabilities
linear           linear Keras heads in numpy: Adam, many at once
net              Keras nets over features, an epoch a call
keras_head       KerasHead: the guide's head, and larger ones
fit              a head is fitted, and what it cannot learn from is told
streaming        heads fitted in passes over blocks
memory           how much memory training may take
dense_layer      a linear head, of scikit-learn or ours, as one dense layer
"""
