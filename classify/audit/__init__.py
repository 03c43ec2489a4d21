"""What is wrong with images and labels, and which to label next.

findings     what an audit finds, in which order it is told, and as CSV
gaps         which rows are copies, by a threshold that follows the data
clusters     pairs of copies to clusters, chains divided
duplicates   images that are there several times: of two labels, across splits, in one class
out_of_fold  every labelled row judged by a linear head that saw neither it nor a copy of it
suspects     labels that the features contradict, each with the images that show it
label_errors  how many labels are wrong, with an interval
outliers     images unlike everything of their class
classes      classes that are thin, of very different sizes, or that one head cannot tell apart
leaks        scores of a split with and without the images that training has too
shortcuts    does something that is not in the picture predict the label?
odd_images   images of which a backbone sees next to nothing
audit        all of it: one table of findings
suggest      which unlabelled images to label next
"""
