"""The commands of python -m classify, each with the lines that it prints."""
