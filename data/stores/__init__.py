"""Files on a disk and in object stores, by one set of functions.

urls         addresses of object stores: their parts, and what of them may be shown
stamp        by what a file is known not to have changed
filesystems  fsspec's file system for each scheme
faults       what went wrong with an object, and whether it is worth another attempt
answers      an object as it is sent: all of it, and by what it is known not to have changed
remote       objects listed and fetched, with a few more attempts where they fail
files        files of both kinds: read ahead, stamps, bytes by offset
"""
