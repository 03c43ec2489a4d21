"""python -m extract: run, info, diff, verify, repair, merge, bench, layers."""

from data.console import command_app
from extract.commands.bench import bench
from extract.commands.file import diff, info, merge, repair, verify
from extract.commands.layers import layers
from extract.commands.run import run

app = command_app("Run a frozen backbone over labelled images once, and keep the features in an HDF5 file.")

for command in (run, info, diff, verify, repair, merge, bench, layers):
    app.command()(command)
