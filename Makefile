# demo   a real video, a reward, a robot trained on it, a page: on branch study/demo
# demo-models   the same loop with a critic that looks and an author that writes code; no key, no
#        model: a script answers in their place, and every page says so. Branch study/demo-models
# test   the same set-up, then lint and the tests
# serve  Prefect's server and page, a worker and the deployments, on this machine; Ctrl-C ends them
# The demos may be run again at any time: what is done is not done twice.

PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: demo demo-models serve test lint

demo: .venv/ready
	reelward doctor
	git show-ref --quiet study/demo || reelward new demo
	python -m flows.learn --study demo --iterations 4
	dvc repro
	@echo
	@echo "expert and learner side by side: $(CURDIR)/report/index.html"
	@echo "this is branch study/demo: git log -p rewards/ tells how the reward grew, git switch - goes back"
	@echo "for reelward, dvc and prefect in this shell: . .venv/bin/activate"

demo-models: .venv/ready
	git show-ref --quiet study/demo-models || \
	  reelward new demo-models --author scripted --critic scripted
	python tests/scripted_server.py -- python -m flows.learn --study demo-models --iterations 3
	@echo
	@echo "a script answered in place of a model; what came of it: $(CURDIR)/report/index.html"

serve: .venv/ready
	@exec python -m flows.serve

test: lint
	python -m pytest -n 2 --dist loadfile

lint: .venv/ready
	ruff check .
	ruff format --check .
	mypy reelward stages flows

# torch first: its build decides what the rest may be.
.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "expected Python 3.11 or later; name one: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 2; }
	$(PYTHON) -m venv .venv
	pip install --quiet --disable-pip-version-check torch==2.13.0
	pip install --quiet --disable-pip-version-check -c constraints.txt -e .[test]
	@touch $@
