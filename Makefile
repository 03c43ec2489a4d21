.PHONY: test test-all lint docs

test:
	python -m pytest

test-all:
	python -m pytest -m ""

lint:
	ruff check . && ruff format --check . && mypy

docs:
	PYTHONPATH=. python docs/generate.py
	PYTHONPATH=. TF_CPP_MIN_LOG_LEVEL=3 python docs/api.py
