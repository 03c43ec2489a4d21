"""What is wrong with images and labels, and which to label next.

findings    what an audit finds, and in which order it is told
neighbours  nearest rows by cosine, in blocks
gaps        which rows are copies, by a threshold that follows the data
clusters    pairs of copies to clusters, chains divided
duplicates  images that are there several times: of two labels, across splits, in one class
leaks       scores of a split with and without the images that training has too
suggest     which unlabelled images to label next
shortcuts   does something that is not in the picture predict the label?
odd_images  images of which a backbone sees next to nothing
"""
