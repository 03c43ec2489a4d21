"""A page that shows what a head gets right and wrong, and takes corrections.

page        Page: all that stands on it, as plain values
found       what an audit of the features finds, and what to label next
judged      the rows that heads are judged by: test, cross-validation or validation
gather      bundles, features and findings to a Page
galleries   which images are shown, and beside which others
notices     what is wrong, what follows from it, and the command that mends it
plots       curves as lines, dots and bars in pixels, which the template draws
forecast    how many more images for one point of accuracy
projection  features as points of a plane
pictures    images as tiles of WebP atlases, the needed ones first
provenance  what made the numbers: commands, recipe, digests, versions
render      a Page to one HTML file
"""
