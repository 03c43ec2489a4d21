"""A trained head with all that a new image needs: saved, read, used, exported.

checked_head   what a head must be before a bundle is made of it
trees          trees of a stranger's head, checked before compiled code walks them
renamed        classes of ours in heads that version 0.1 stored
manifest       bundle.json: its versions, and the digests by which damage is found
folder         a bundle as a folder: written, read, refused
detector       Detector: images unlike all that the head was trained on
bundle         Bundle: what training saves
prediction     what a head says of images or rows, and what it is asked
predict        new images to labels
predict_file   rows of feature files to labels; predictions as CSV and JSON
keras_model    backbone and head as one Keras model
formats        FORMATS: how exported models are read by their users
openvino_file  models that say in their file that they are computed in float32
export         one model file that needs no Headstart, checked against the head
"""
