# Modules of tests without Ray, real weights and training through a backbone, which take a minute together.
QUICK = data_errors data_label_checks data_lists data_names data_newcomer data_output \
	extract_plan extract_progress extract_recipe extract_shards extract_store \
	classify_abstain classify_evaluate classify_features classify_figures classify_learning_curve classify_linear_svm \
	classify_parameters classify_renamed classify_ridge classify_temperature classify_trees \
	docs_generated imports wheel

.PHONY: test test-all quick lint docs

test:
	python -m pytest

test-all:
	python -m pytest -m ""

quick:
	python -m pytest $(QUICK:%=tests/test_%.py)

lint:
	ruff check . && ruff format --check . && mypy

docs:
	PYTHONPATH=. python docs/generate.py
	PYTHONPATH=. TF_CPP_MIN_LOG_LEVEL=3 python docs/api.py
