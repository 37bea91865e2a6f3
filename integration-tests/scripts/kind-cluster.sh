#!/usr/bin/env bash
# Kind clusters that Neargate's virtual node can join: made once, found again, removed.
#   kind-cluster.sh up NAME       make it, or make sure that it works, and print its kubeconfig's path
#   kind-cluster.sh down NAME     remove it
#   kind-cluster.sh --path NAME   print its kubeconfig's path, or fail at once if it is not up
# A cluster has its own folder in the cache; ~/.kube/config is not touched, nor is any cluster that was not made here.
set -euo pipefail
. "$(dirname "$0")/common.sh"

usage="kind-cluster.sh up|down|--path NAME"
[ $# = 2 ] || die "$usage"
name=$2
scripts=$root/integration-tests/scripts
# The folder is made before the cluster is, and the kubeconfig last: it exists if the cluster is complete. What
# runs for a cluster may keep its own files here.
state=$cache/kind/$name
kubeconfig=$state/kubeconfig
partial=$kubeconfig.partial
# The id of Docker's network `kind`, if it was made for a cluster of ours; `new` while it is being made.
network=$cache/kind/network

# nodes [OPTION]: the ids of the cluster's containers; of those that run, without an option.
nodes() { docker ps "$@" --quiet --filter "label=io.x-k8s.kind.cluster=$name"; }

# kind COMMAND…: with a docker of our own if the engine can't give what kind asks of it.
kind() {
    local path=$PATH
    if [ -f "$state/unprivileged" ]; then path=$root/integration-tests/kind/unprivileged:$PATH; fi
    PATH=$path "$program" "$@" >&2
}

forget() {
    rm -f "$kubeconfig" "$partial" "$state"/{unprivileged,privileged.log,kind.log}
    rmdir --ignore-fail-on-non-empty "$state"
}

# The network stays if it existed before, and as long as anything uses it.
forget_network() {
    [ -f "$network" ] || return 0
    local mine now
    mine=$(cat "$network")
    now=$(docker network inspect --format '{{.Id}} {{len .Containers}}' kind 2>/dev/null || true)
    if [ "$mine" = new ]; then mine=${now% *}; fi
    if [ "$now" = "$mine 0" ]; then
        docker network rm kind >/dev/null
        rm "$network"
    fi
}

answers() { kubectl --kubeconfig "$1" get --raw /readyz --request-timeout 5s >/dev/null 2>&1; }

# Whether the cluster exists; restarts it if the engine was restarted.
whole() {
    [ -f "$kubeconfig" ] && [ -n "$(nodes --all)" ] || return
    # shellcheck disable=SC2046 # one word per container
    docker start $(nodes --all) >/dev/null && within 60 answers "$kubeconfig"
}

create() {
    local image
    image=$("$scripts/kind-image.sh")
    mkdir -p "$state"
    # Whether the engine can give --privileged is known only by a request. Root in a CI system's sandbox may lack
    # capabilities.
    if ! docker run --rm --privileged --entrypoint true "$image" 2>"$state/privileged.log"; then
        say "the engine refuses --privileged (root lacks CAP_SYS_RESOURCE?): the node gets every other capability instead"
        touch "$state/unprivileged"
    fi
    docker network inspect kind >/dev/null 2>&1 || echo new >"$network"
    say "creating the cluster $name"
    kind create cluster --name "$name" --image "$image" --config "$root/integration-tests/kind/cluster.yaml" \
        --kubeconfig "$partial" --wait 180s 2>"$state/kind.log" ||
        die "kind could not create the cluster $name: see $state/kind.log"
    if [ "$(cat "$network" 2>/dev/null)" = new ]; then docker network inspect --format '{{.Id}}' kind >"$network"; fi

    local daemonset
    for daemonset in $(kubectl --kubeconfig "$partial" --namespace kube-system get daemonsets --output name); do
        kubectl --kubeconfig "$partial" --namespace kube-system patch "$daemonset" --patch-file "$root/fixtures/kind/off-the-virtual-node.yaml" >&2
    done
}

# system_ready KUBECONFIG: waits for the cluster's own workloads.
system_ready() {
    local workload
    for workload in $(kubectl --kubeconfig "$1" --namespace kube-system get deployments,daemonsets --output name); do
        kubectl --kubeconfig "$1" --namespace kube-system rollout status "$workload" --timeout 180s >/dev/null ||
            die "the cluster's own $workload is not ready: kubectl --kubeconfig $1 get pods --all-namespaces"
    done
}

up() {
    exclusively "kind-$name"
    program=$("$scripts/kind-binary.sh")
    if whole; then
        say "the cluster $name exists"
        system_ready "$kubeconfig"
    else
        if [ -n "$(nodes --all)" ]; then
            [ -d "$state" ] || die "a kind cluster $name is there that was not made here: choose another name"
            say "the cluster $name is not complete: making it again"
            kind delete cluster --name "$name" --kubeconfig "$kubeconfig"
        fi
        if [ -d "$state" ]; then forget; fi
        SECONDS=0
        create
        system_ready "$partial"
        mv "$partial" "$kubeconfig"
        say "the cluster $name was made in $SECONDS s"
    fi
    kind load docker-image --name "$name" --quiet neargate/fixture:latest neargate/busybox:latest ||
        die "the fixture images could not be loaded into the cluster $name: make images"
    echo "$kubeconfig"
}

down() {
    exclusively "kind-$name"
    if [ ! -d "$state" ]; then
        say "there is no cluster $name that was made here"
        return
    fi
    program=$("$scripts/kind-binary.sh")
    kind delete cluster --name "$name" --kubeconfig "$kubeconfig"
    forget
    forget_network
}

case $1 in
    up) up ;;
    down) down ;;
    --path)
        if [ ! -f "$kubeconfig" ] || [ -z "$(nodes)" ]; then die "the cluster $name is not up: kind-cluster.sh up $name"; fi
        echo "$kubeconfig"
        ;;
    *) die "$usage" ;;
esac
