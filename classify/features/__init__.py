"""Feature files as what heads learn from: in memory, or in blocks.

columns           layers side by side, read and never mapped
blocks            rows larger than memory, block by block
rows              labelled rows of each split: what learns, what chooses, what only judges
applied           what corrections did to rows
matrix            FeatureMatrix, FeatureSet: features in memory, and what computed them
corrections       a CSV of digests and labels, applied to rows
neighbours        nearest rows by cosine, in blocks
standardized      rows in float32 less their mean, divided by their deviation
projection        nearest rows among very many, nearly
load              files to a matrix, several of them joined by image
images            the images of rows, read where they lie and known again by their bytes
image_properties  sizes, JPEG quality, camera, brightness and border of image files
property_values   such properties as columns, and the values that part labels
"""
