# make demo    build .venv, install the project, train on the digits in three ways, then by fit
#              (needs only Python and make)
# make test    build .venv, install the project with its test tools, run the tests
# make explore the tests whose examples are drawn, with new examples (make test draws the same each time)
# make deep    the long tests, in slices, with new examples: an hour or more
# make environments  the tests with each Python, and the oldest and newest NumPy and Numba, found here
# make lint    ruff (format and rules); on the installed wheel: mypy and a short demo
# make bench   build .venv-bench with the peers, print the benchmark table
# make docs    build .venv-docs and the site of the documentation, in build/site; nothing is fetched for it
# make release-check  build sdist and wheel, install each in a fresh environment, run demo, example, first page
# make clean   remove what the targets above built
#
# PYTHON=... chooses the interpreter, ARGS=... is handed to pytest, the scripts in tests/ or the benchmarks.

VENV := .venv
CANDIDATES := python3 python3.13 python3.12 python3.14 python3.11 python
SUITABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))

ifndef PYTHON
PYTHON := $(shell for p in $(CANDIDATES); do \
	if $$p -c '$(SUITABLE)' >/dev/null 2>&1; then echo $$p; break; fi; done)
endif

PIP = bin/python -m pip --disable-pip-version-check install --quiet
SOURCES := pyproject.toml setup.py

.PHONY: demo test explore deep environments lint lint-style lint-installed bench docs release-check clean

demo: $(VENV)/installed
	$(VENV)/bin/python -m tapegrad.demo

test: $(VENV)/installed-test
	$(VENV)/bin/python -m pytest $(ARGS)

explore: $(VENV)/installed-test
	$(VENV)/bin/python -m pytest --explore -m hypothesis $(ARGS)

deep: $(VENV)/installed-test
	$(VENV)/bin/python tests/deep.py $(ARGS)

environments: $(VENV)/installed-test
	$(VENV)/bin/python tests/environments.py $(ARGS)

lint: lint-style lint-installed

lint-style: $(VENV)-lint/installed
	$(VENV)-lint/bin/python -m ruff format --check .
	$(VENV)-lint/bin/python -m ruff check .

# A static checker cannot follow the mapping of folders, so that the package is installed first.
# Both run outside the repository, where the folder tapegrad/ would hide the installed package.
lint-installed: $(VENV)-lint/installed
	$(VENV)-lint/$(PIP) --no-deps --force-reinstall .
	cd $(VENV)-lint && bin/python -m mypy --config-file ../pyproject.toml -p tapegrad
	cd $(VENV)-lint && bin/python -m tapegrad.demo --epochs 1 --fit-epochs 1 >/dev/null

bench: $(VENV)-bench/installed
	$(VENV)-bench/bin/python -m benchmarks $(ARGS)

# Every warning is an error: of a link that leads nowhere, of a public name without a place.
docs: $(VENV)-docs/installed
	$(VENV)-docs/bin/python -m sphinx -W --keep-going -n -q -b html -d build/doctrees docs build/site
	@echo "the site is in build/site/index.html"

release-check:
	$(PYTHON) tests/release.py $(ARGS)

clean:
	rm -rf $(VENV) $(VENV)-lint $(VENV)-bench $(VENV)-docs $(VENV)-environments
	rm -rf build dist docs/generated *.egg-info

# A stamp is written when all of its installation has worked.
$(VENV)/installed: $(SOURCES)
	$(call new-venv,$(VENV))
	$(VENV)/$(PIP) --editable .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(VENV)/$(PIP) --editable '.[test]'
	@touch $@

$(VENV)-lint/installed: $(SOURCES)
	$(call new-venv,$(VENV)-lint)
	$(VENV)-lint/$(PIP) '.[lint]'
	@touch $@

$(VENV)-bench/installed: $(SOURCES)
	$(call new-venv,$(VENV)-bench)
	$(VENV)-bench/$(PIP) --editable '.[bench]'
	@touch $@

$(VENV)-docs/installed: $(SOURCES)
	$(call new-venv,$(VENV)-docs)
	$(VENV)-docs/$(PIP) --editable '.[docs]'
	@touch $@

define new-venv
@test -n "$(PYTHON)" || { echo "No Python >= 3.11 with the modules venv and ensurepip was found."; \
	echo "Install one (on Debian and Ubuntu: python3 and python3-venv), or name it: make PYTHON=..."; \
	exit 1; }
@$(PYTHON) -c '$(SUITABLE)' || { echo "$(PYTHON) is not Python >= 3.11 with venv."; exit 1; }
@echo "building $(1) with $$($(PYTHON) --version); the first time this takes a minute"
@rm -rf $(1)
$(PYTHON) -m venv $(1)
endef
