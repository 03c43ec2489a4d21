"""Where images and labels come from: a module for each kind of source, and what they share.

source      Row, Source, SOURCES: what a source is, and how the command line names one
labels      names of classes, and labels that look odd, alike or contradictory
tree        one walk through a folder of images, for every command that is given one
folder      class/image, split/class/image
csv_text    CSV files as programs write them: encodings, delimiters
csv_list    images listed in a CSV file
digest_table  CSV files that say something of images known by their digest
arrays      arrays of yours, NPZ files, scikit-learn's digits
tfds        TensorFlow Datasets
subset      some rows of a source, which are a source too
groups      groups of images, listed by digest in a CSV file
remembered  where the images of a feature file lie on this machine
path_list   paths that a list or standard input names
"""
