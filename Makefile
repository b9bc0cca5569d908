# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# `make help` lists the targets. tools/check.py says what each check runs.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup packages tree generate changelog lock cli test lint types unit sanity integration testbed \
	machines hosts debian12 molecule day-two exam demo demo-down bench clean

export LC_ALL := C.UTF-8

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

setup: packages .venv/ready tree ## install missing system packages, make .venv with the pinned tools

packages:
	@tools/setup packages

.venv/ready: requirements/tools.txt | packages
	@tools/setup venv

tree:
	@tools/setup tree

generate: .venv/ready ## write generated files: documentation, argument specs, types, Python strings
	@.venv/bin/python tools/generate.py

cli: .venv/ready ## pack the command microvm into the one file dist/microvm
	@.venv/bin/python tools/pack.py

changelog: setup ## turn changelogs/fragments into CHANGELOG.md, as the version that galaxy.yml names
	@PATH="$(CURDIR)/.venv/bin:$$PATH" ANSIBLE_COLLECTIONS_PATH=.tree antsibull-changelog release --update-existing

lock: .venv/ready ## write requirements/tools.txt anew from tools.in
	@tools/lock

test: setup ## all checks below, the quick ones first, then a summary
	@.venv/bin/python tools/check.py

lint: setup ## formats, rules, documentation, changelog, generated files
types: setup ## mypy
unit: setup ## pytest: tests that need no host
sanity: setup ## ansible-test sanity
integration: setup ## ansible-test integration: real kernel objects
testbed: setup ## the test bed's own tests
machines: setup ## virtual machines as hosts, a short examination and devices on them
hosts: setup ## the product on hosts of the test bed
debian12: setup ## the scenario on hosts with the oldest Debian
molecule: setup ## the scenario on hosts with the newest Debian
day-two: setup ## the scenario of an operator's days after the first
exam: setup ## examine hypervisors with real guests, see CONTRIBUTING.md; not part of make test
lint types unit sanity integration testbed machines hosts debian12 molecule day-two exam:
	@.venv/bin/python tools/check.py $@

demo: setup ## two throw-away hosts, site.yml, four MicroVMs that answer
	@demo/run

demo-down: ## remove the demo's hosts
	@demo/down

bench: setup ## measure on the hosts of the demo, as a table and as JSON
	@.venv/bin/python bench/run.py

clean: ## remove what the targets above have left in the checkout
	rm -rf .venv .tree .logs .mypy_cache .ruff_cache .pytest_cache .ansible tests/output
