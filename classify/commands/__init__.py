"""The commands of python -m classify, each with the lines that it prints.

options    options that several commands share
frontier   frontier
train      train
sweep      sweep
evaluate   evaluate
predict    predict
info       info
export     export
finetune   finetune
benchmark  benchmark
audit      audit
report     report
suggest    suggest
auto       auto
"""
