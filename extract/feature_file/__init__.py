"""The feature file: what it says, how it lies on disk, how it is written, read, checked, mended.

contents        what a file says of its rows, but for the features
hdf5            what files and parts share: features by output, checksums by row
part_names      how parts are named, how many rows each holds, where they lie
digests         digests of images as columns, found by bisection
places          where the features of images are
part            what a run keeps until its file is complete
shards          the sharded layout: an index over parts that stay
content_digest  the digest of a whole file, the same for both layouts
reader          FeatureFile: a complete file, open for reading
writer          a complete file is written, also out of shards
verify          is a file what was written? A child process reads it
repair          what is sound of a damaged file is kept
diff            what differs between two files
"""
