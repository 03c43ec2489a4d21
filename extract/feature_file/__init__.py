"""The feature file: what it says, how it lies on disk, how it is written, read, checked, mended."""
