# Everything a fresh machine needs is Python 3.11 or newer and make.
PYTHON ?= python3
VENV ?= .venv
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test soak clean

demo: $(VENV)/installed
	$(VENV)/bin/microarpes demo

test: $(VENV)/installed-test
	$(VENV)/bin/python -m pytest -n 2 --no-loadscope-reorder

soak: $(VENV)/installed-test
	MICROARPES_SOAK=1 $(VENV)/bin/python -m pytest -m soak

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "microarpes needs Python 3.11 or newer, $(PYTHON) is older; try make PYTHON=python3.12 demo" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/installed-test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --constraint constraints.txt --editable '.[test,dev,clients]'
	@touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) build *.egg-info
