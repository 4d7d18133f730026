# demo         a real video, a reward, a robot trained on it, one page: on branch study/demo
# demo-models  the same loop with a critic that looks at pictures and an author that writes code; a
#              script answers in place of the models, and every page says so: branch study/demo-models
# test         the same set-up, then lint and the tests
# serve        Prefect's server and page, a worker and the deployments on this machine; Ctrl-C ends them
# Every demo may be run again at any time: finished work is not repeated.

PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: demo demo-models serve test lint

demo: .venv/ready
	reelward doctor
	git show-ref --quiet study/demo || reelward new demo
	python -m flows.learn --study demo --iterations 4
	dvc repro
	@echo
	@echo "the report, expert and learner side by side: $(CURDIR)/report/index.html"
	@echo "you are on branch study/demo: git log -p rewards/best.py shows how the reward grew, git switch - goes back"
	@echo "to use reelward, dvc and prefect in this shell: . .venv/bin/activate"

demo-models: .venv/ready
	git show-ref --quiet study/demo-models || \
	  reelward new demo-models --author scripted --critic scripted
	python tests/scripted_server.py -- python -m flows.learn --study demo-models --iterations 3
	@echo
	@echo "a script answered in place of the models; the report: $(CURDIR)/report/index.html"

serve: .venv/ready
	@exec python -m flows.serve

test: lint
	python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: .venv/ready
	ruff check .
	ruff format --check .
	mypy reelward stages flows

# torch comes first: its build decides which versions of the rest fit.
.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "expected Python 3.11 or later; name one: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 2; }
	$(PYTHON) -m venv .venv
	pip install --quiet --disable-pip-version-check torch==2.13.0
	pip install --quiet --disable-pip-version-check -c constraints.txt -e .[test]
	@touch $@
