.PHONY: test test-all lint

test:
	python -m pytest

test-all:
	python -m pytest -m ""

lint:
	ruff check . && ruff format --check . && mypy
