"""Images in archives, read in place.

contents  what archives hold: names, places, sizes; none leads out or is a bomb
listing   the files in an archive
tars      lists tar files
zips      lists zip files
samples   what files of one sample share, and which image is theirs
readers   files of archives, in any order
labels    labels beside images, as WebDataset writes them
archive   zip and tar files as a source
"""
