# The only commands that a newcomer needs. `make` alone prints them.

scripts := integration-tests/scripts
# Scripts that run in a kind node, or instead of docker.
kind-scripts := $(addprefix integration-tests/kind/,node/kind/bin/cni.sh node/usr/local/bin/crictl unprivileged/docker unprivileged/entrypoint)
# The same flags everywhere: another value of RUSTFLAGS would build everything twice.
export CARGO_TERM_COLOR ?= auto

.DEFAULT_GOAL := help
.PHONY: help demo test test-kind test-vm run lint bench clean kind kind-down prepare tools wrk engine images controlplane python

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: prepare ## show a Deployment run as Fargate tasks: scaled, logged, cleaned up (KEEP=1 leaves it up until Ctrl-C)
	cargo build --workspace --bins
	./target/debug/demo $(if $(KEEP),--keep)

test: prepare ## run every test: the crates' own, then the suites with real containers, AWS clients and Kubernetes
	cargo build --workspace --all-targets
	cargo test --workspace --no-fail-fast
	"$$($(scripts)/venv.sh --path)/bin/python" -m unittest discover --start-directory integration-tests/python --verbose
	$(MAKE) test-kind

test-kind: prepare ## run the Kubernetes suites and the scenarios on a kind cluster (KEEP=1 leaves the cluster up for the next run)
	$(scripts)/kind-cluster.sh up neargate-test >/dev/null
	NEARGATE_CLUSTER=kind cargo test --workspace --no-fail-fast --test kubernetes --test scenarios; tested=$$?; \
		$(if $(KEEP),true,$(scripts)/kind-cluster.sh down neargate-test); exit $$tested

test-vm: tools engine images ## run suites on a newer engine under systemd and cgroup v2, in a virtual machine (outside `make test`; ARGS="PHASE [NAME]")
	cargo test --workspace --profile vm --no-run --test docker_runtime --test containers --test own_engine
	@$(scripts)/test-vm.sh $(ARGS)

kind: tools engine images python ## make a kind cluster whose node "fargate" runs pods as Fargate tasks, and print how to use it
	cargo build --workspace --bins
	@$(scripts)/kind.sh up

kind-down: ## remove all that `make kind` made
	@$(scripts)/kind.sh down

run: tools engine images ## run the emulator alone, on http://127.0.0.1:4566 (ARGS="--help" and others are passed on)
	cargo run --bin neargate -- serve $(ARGS)

lint: tools python ## check format, lints, each crate alone, the generated code, the scripts and the dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	for crate in $$(cargo tree --workspace --depth 0 --prefix none | sed -n 's, v[0-9].*,,p' | sort -u); do \
		cargo check --quiet --package $$crate || exit; done
	cargo run --quiet --package neargate-generator -- --check --python "$$($(scripts)/venv.sh --path)/bin/python"
	if command -v shellcheck >/dev/null; then shellcheck --external-sources --source-path=$(scripts) $(scripts)/*.sh $(kind-scripts) .ci/run; else echo "skipped: shellcheck is not installed"; fi
	if command -v cargo-deny >/dev/null; then cargo deny --all-features check bans licenses sources; else echo "skipped: cargo-deny is not installed"; fi

bench: prepare wrk ## measure every budget of the design beside its reference, in the same run (ARGS="--only start" for some)
	cargo build --release --workspace --bins --example bench
	./target/release/examples/bench $(ARGS)

clean: ## remove what was built here and what instances that no longer run left in Docker (the cache stays: ~/.cache/neargate)
	if [ -x target/debug/neargate ]; then ./target/debug/neargate clean; fi
	cargo clean

# What demo and test need on a fresh machine. Each does nothing if it has been done.
prepare: tools engine images controlplane python

tools:
	@$(scripts)/tools.sh

# The bench's generator of load.
wrk:
	@$(scripts)/tools.sh wrk

engine:
	@$(scripts)/engine.sh

images: engine
	@$(scripts)/images.sh

controlplane:
	@$(scripts)/controlplane.sh >/dev/null

python:
	@$(scripts)/venv.sh >/dev/null
