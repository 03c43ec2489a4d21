"""Training with the backbone in the graph, from the trained head on.

options    TrainingOptions, checked before TensorFlow is imported
images     decoded images of a source by split
model      the guide's model: augmentation, backbone, head; which weights train
loops      Model.fit and GradientTape, and what happens around their epochs
run_state  what a training keeps on disk, so that a killed one goes on
old_run    the same of version 0.1
training   one training of such a model
live       a head trained behind the frozen backbone
judge      scores before and after, on the same rows
finetune   finetune(): the backbone learns too
"""
