"""Cached heads, live heads and fine-tuning on the same rows, a process each.

arms         ARMS: what is compared, on which rows
report       costs, accuracies, break-even, in numbers and words
arm_process  one arm, in a process of its own
benchmark    benchmark(): all arms, one after the other
"""
