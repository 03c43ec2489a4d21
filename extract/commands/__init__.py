"""The commands of python -m extract, each with the lines that it prints."""
