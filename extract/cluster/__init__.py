"""The parts of a run on a Ray cluster.

connect  a cluster is reached, or started on this machine
replica  what runs on a node: an actor with an engine
driver   hands out parts, and replaces actors that died
"""
