"""What runs a backbone over batches of pixels.

engine           ENGINES, Engine: the table, and which engine `auto` takes
keras_engine     Keras on a GPU or a CPU, with any of its backends
runtime          RUNTIMES: what a Keras backend does for it; is there a GPU?
on_tensorflow    Keras' backend TensorFlow
on_jax           JAX
on_torch         PyTorch
file_graph       a user's ONNX or IR graph between scaling and pooling
conversion       backbones in OpenVINO's format, kept in the cache
translation      the same without TensorFlow, by Keras' backend OpenVINO
openvino_engine  OpenVINO on a CPU
limit            matrix products: what a CPU can do in each arithmetic, which no backbone exceeds by much
pipeline         from encoded bytes to features: threads decode ahead of the engine
probe            do we compute the features that were stored? One image tells
"""
