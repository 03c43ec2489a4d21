"""Images in Parquet files, read in place.

file    such files as they lie on disk: their columns, and images one after the other
source  images as Hugging Face's datasets writes them, or tables of paths
"""
