"""Where results go: may they be written, how, and what is told when they cannot be.

ours      our own files and folders, known by what is in them
checks    may an output be written there, over what lies there
atomic    written aside, synced, renamed into place
swap      a folder replaced as a whole
lock      one run at a time on one output
disk      room on a disk, and why something could not be written
cache     the cache folder of this user
drawn     pictures that we drew ourselves, so that they are no input
csv_file  rows as CSV, of which a spreadsheet runs nothing
"""
