#!/usr/bin/env bash
# A kind cluster with a virtual node whose pods run as Fargate tasks, for users: `make kind`, `make kind-down`.
#   kind.sh up     make what is missing of it: cluster, emulator, provider, a first Deployment; then print how to use it
#   kind.sh down   end and remove all of that, and nothing else
# The programs come from target/debug and run in the background from their own copies, so that a build does not disturb
# them and `down` can clean up without one. Their data, logs and pids are beside the cluster's kubeconfig.
set -euo pipefail
. "$(dirname "$0")/common.sh"

name=neargate
node=fargate
subnet="subnet-0000000000000000a"
log_group=/pods
scripts=$root/integration-tests/scripts
state=$cache/kind/$name
kubeconfig=$state/kubeconfig

k() { kubectl --kubeconfig "$kubeconfig" "$@"; }

# since PID: when that process started, which with the pid identifies one process, also after a restart of the machine;
# nothing for one that is dead and not yet reaped.
since() {
    printf '%s %s\n' "$(cat /proc/sys/kernel/random/boot_id)" "$(sed -n 's/.*) //; /^[ZX]/!p' "/proc/$1/stat" | cut -d ' ' -f 20)"
}

# alive PROGRAM: whether the process that was started for it runs.
alive() {
    [ -f "$state/$1.pid" ] && [ -f "$state/$1.since" ] &&
        [ "$(since "$(cat "$state/$1.pid")" 2>/dev/null)" = "$(cat "$state/$1.since")" ]
}

gone() { ! alive "$1"; }

# stop PROGRAM: SIGTERM, and SIGKILL if it does not end.
stop() {
    if alive "$1"; then
        say "ending the $1 (pid $(cat "$state/$1.pid"))"
        kill "$(cat "$state/$1.pid")"
        within 20 gone "$1" || kill -9 "$(cat "$state/$1.pid")"
    fi
    rm -f "$state/$1".{pid,since,command}
}

# run PROGRAM BINARY COMMAND…: in the background, in its own session, unless it already runs with the same command.
run() {
    local program=$1 binary=$2 command
    shift 2
    command=$(sha256sum <"$root/target/debug/$binary"; printf '%s\n' "$@")
    if alive "$program"; then
        if [ "$command" = "$(cat "$state/$program.command")" ]; then
            say "the $program runs (pid $(cat "$state/$program.pid"))"
            return
        fi
        say "the $program was rebuilt, or its arguments have changed: restarting it"
        stop "$program"
    fi
    mkdir -p "$state/bin"
    cp --remove-destination "$root/target/debug/$binary" "$state/bin/$binary"
    [ ! -f "$state/$program.log" ] || mv "$state/$program.log" "$state/$program.previous.log"
    setsid "$@" >"$state/$program.log" 2>&1 </dev/null 9>&- &
    echo $! >"$state/$program.pid"
    since $! >"$state/$program.since"
    printf '%s\n' "$command" >"$state/$program.command"
    say "started the $program (pid $!); its log: $state/$program.log"
}

# until_well SECONDS PROGRAM COMMAND…: waits until the command succeeds, as long as the program runs.
until_well() {
    local seconds=$1 program=$2 last=
    shift 2
    # shellcheck disable=SC2317 # called by within
    well() { gone "$program" || last=$("$@" 2>&1); }
    if ! within "$seconds" well "$@"; then die "the $program is not well: $last; its log: $state/$program.log"; fi
    if gone "$program"; then die "the $program ended: $(tail -n 3 "$state/$program.log")"; fi
}

aws() { env "${environment[@]}" "$("$scripts/venv.sh")/bin/aws" "$@"; }

# A recreated cluster knows nothing of what runs for the previous one.
same_cluster() {
    local uid
    uid=$(k get namespace kube-system --output 'jsonpath={.metadata.uid}')
    if [ -f "$state/uid" ] && [ "$(cat "$state/uid")" != "$uid" ]; then
        say "the cluster was recreated: removing what ran for the previous one"
        end_programs
    fi
    printf '%s' "$uid" >"$state/uid"
}

# The port is chosen once, so that variables exported in a shell stay valid.
emulator() {
    if [ ! -f "$state/port" ]; then
        local port=4566
        while (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
        echo "$port" >"$state/port"
    fi
    endpoint=http://127.0.0.1:$(cat "$state/port")
    # Version 1 of the AWS CLI reads only AWS_DEFAULT_REGION.
    environment=("AWS_ENDPOINT_URL=$endpoint" AWS_{DEFAULT_,}REGION=us-east-1 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test)
    run emulator neargate "$state/bin/neargate" serve --listen "${endpoint#http://}" --data-dir "$state/data" --vpc-from-kind "$name"
    until_well 60 emulator aws ecs create-cluster --cluster-name default
    local said
    said=$(aws logs create-log-group --log-group-name "$log_group" 2>&1) || case $said in
        *ResourceAlreadyExistsException*) ;;
        *) die "creating the log group $log_group: $said" ;;
    esac
}

# The provider has only the rights of its ServiceAccount.
provider_kubeconfig() {
    local file=$state/provider.kubeconfig
    [ ! -f "$file" ] || return 0
    local credentials
    credentials=$(k config view --raw --minify --output \
        'jsonpath={.clusters[0].cluster.server} {.clusters[0].cluster.certificate-authority-data}')
    (
        umask 077
        cat >"$file.partial" <<CONFIG
apiVersion: v1
kind: Config
current-context: $name
contexts: [{ name: $name, context: { cluster: $name, user: provider } }]
clusters: [{ name: $name, cluster: { server: "${credentials% *}", certificate-authority-data: ${credentials#* } } }]
users: [{ name: provider, user: { token: $(k --namespace neargate-provider create token "$node" --duration 8760h) } }]
CONFIG
    )
    mv "$file.partial" "$file"
}

provider() {
    k apply -f "$root/provider/deploy" >/dev/null
    provider_kubeconfig
    # This machine, as the API server in the node sees it. The network has an IPv6 block too.
    local gateway
    gateway=$(docker network inspect --format '{{range .IPAM.Config}}{{println .Gateway}}{{end}}' kind | grep -m 1 -F .) ||
        die "Docker's network kind has no IPv4 gateway: docker network inspect kind"
    run provider neargate-provider env "${environment[@]}" "$state/bin/neargate-provider" --kubeconfig "$state/provider.kubeconfig" \
        --node-name "$node" --node-ip "$gateway" --kubelet-port 0 --cpu 64 --memory 256Gi --pods 100 \
        --subnets "$subnet" --log-group "$log_group" --execution-role-arn arn:aws:iam::000000000000:role/execution \
        --init-image neargate/provider-init:latest --deletion-cost -100
    until_well 60 provider k get node "$node"
    until_well 90 provider k wait --for condition=Ready "node/$node" --timeout 5s
}

usage() {
    local folders=
    type -P kubectl >/dev/null || folders=$("$scripts/controlplane.sh" --path)
    type -P aws >/dev/null || folders=${folders:+$folders:}$("$scripts/venv.sh" --path)/bin
    cat <<USAGE

The cluster $name is up; its node $node runs pods as Fargate tasks.

  export KUBECONFIG=$kubeconfig
  export ${environment[*]}${folders:+
  export PATH=\$PATH:$folders}

  kubectl get pods --output wide
  kubectl logs --follow deployment/hello
  aws ecs list-tasks

More to do with it: docs/scenarios. Logs: $state/*.log. All of it goes with: make kind-down
USAGE
}

up() {
    "$scripts/kind-cluster.sh" up "$name" >/dev/null
    same_cluster
    emulator
    provider
    k apply -f "$root/fixtures/kind/hello.yaml" >/dev/null
    k rollout status deployment/hello --timeout 120s >/dev/null ||
        die "the Deployment hello is not ready: $(k get pods --selector app=hello \
            --output 'jsonpath={.items[*].status.containerStatuses[*].state.waiting.message}')"
    usage
}

end_programs() {
    stop provider
    stop emulator
    if [ -d "$state/data" ]; then
        "$state/bin/neargate" clean --data-dir "$state/data" >&2
    fi
    rm -rf "${state:?}"/{bin,data,port,uid,provider.kubeconfig}
}

down() {
    end_programs
    "$scripts/kind-cluster.sh" down "$name"
    rm -rf "$state"
}

case ${1:-} in
    up | down)
        exclusively kind
        "$1"
        ;;
    *) die "kind.sh up|down" ;;
esac
