"""A run: which images are computed again, computing them, putting the file together.

options    Options and Report of a run
scan       digests of the images of a source
plan       is an image computed again? A pure decision over digests
leaving    may rows leave the file? A pure decision
survey     what is known before a run: the file, finished parts, other files
worker     the parts of a run: from bytes of images to a file each, without a gap between them
local      parts computed in this process, in their order
assemble   known rows in the order of the file; are too many rejected?
before     rows that left the file, kept beside it
extract    extract(): the way of every image, from scan to write
forecast   what a run would do, before it does anything
compare    a file against its source
calibrate  int8 backbones, calibrated on images
bench      how near extraction is to the limit of the machine
"""
