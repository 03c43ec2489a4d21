"""Tables and lists that users write: which encodings and delimiters they have, and what their lines say.

csv_text      CSV files as programs write them: encodings, delimiters
digest_table  CSV files that say something of images known by their digest
groups        groups of images, listed by digest in a CSV file
class_columns  tables with a column for each class, as Roboflow exports them
path_list     paths that a list or standard input names
"""
