"""What is wrong with images and labels.

findings  what an audit finds, and in which order it is told
"""
