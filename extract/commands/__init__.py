"""The commands of python -m extract, each with the lines that it prints.

options  options that several commands share
run      run
bench    bench
layers   layers
file     info, diff, verify, repair, merge
"""
