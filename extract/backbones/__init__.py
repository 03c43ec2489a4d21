"""Frozen backbones: the table of them, the graph that Keras runs, its weights.

kinds          KINDS: what a backbone may be; models of users in our cache
scaling        what backbones expect of pixels, by name or by numbers
applications   BACKBONES: scaling, sizes and published weights of each model
seen           what a backbone sees of images, as options of commands say it
keras_backend  which backend Keras computes with
graph          a graph step by step: names that stay, where all paths meet
build          the Keras graph: made, tapped at layers, scaled, pooled
layers         the outputs worth pooling, with what each costs
tensors        weights read from Keras' files, and the digest of them
download       where ImageNet weights come from
records        what our cache says of weights, with their licence
weights        weights found, verified and kept under their digest
"""
