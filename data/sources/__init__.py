"""Where images and labels come from: a module for each kind of source, and what they share.

source      Row, Source, SOURCES: what a source is, and how the command line names one
rows        the rows of a source as columns
naming      what a text names: a file, a folder, archives
options     each option by which a source is opened otherwise
labels      names of classes, and labels that look odd, alike or contradictory
tree        one walk through a folder of images, for every command that is given one
layout      what paths say: classes, splits, labels and groups in names
folder      image files in folders, or wherever a list says
csv_list    images listed in a CSV file
one_hot     images beside tables with a column for each class
arrays      arrays of yours, NPZ files, scikit-learn's digits
tfds        TensorFlow Datasets
subset      some rows of a source, which are a source too
remembered  where the images of a feature file lie on this machine
"""
