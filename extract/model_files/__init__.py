"""Model files of users as backbones: read without running anything of them, kept in our cache.

keras_file      a Keras model, rebuilt of Keras' own layers
graph_parts     what a Keras graph may be made of
hub             a preset of KerasHub
carried         their graphs in a file of its own, as a fine-tuned bundle carries it
openvino_graph  ONNX and IR files, which OpenVINO alone reads
core            OpenVINO's core, which leaves signals as they were
onnx_parts      which other files an ONNX file takes its weights from
"""
