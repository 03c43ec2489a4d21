"""Nets that keras.applications lacks: graphs built here, weights read from where they were published.

efficientnet_lite  EfficientNet-Lite 0 and 2
torch_file         tensors of PyTorch's files, read without running anything
"""
