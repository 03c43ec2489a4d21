"""python -m classify: every command, from train to auto."""

from classify.commands.audit import audit
from classify.commands.auto import auto
from classify.commands.benchmark import benchmark
from classify.commands.evaluate import evaluate
from classify.commands.export import export
from classify.commands.finetune import finetune
from classify.commands.frontier import frontier
from classify.commands.info import info
from classify.commands.predict import predict
from classify.commands.report import report
from classify.commands.suggest import suggest
from classify.commands.sweep import sweep
from classify.commands.train import train
from data.console import command_app

app = command_app("Train heads on a feature file, judge them, and classify new images.")

for command in (
    frontier,
    train,
    sweep,
    evaluate,
    predict,
    info,
    export,
    finetune,
    benchmark,
    audit,
    report,
    suggest,
    auto,
):
    app.command()(command)
