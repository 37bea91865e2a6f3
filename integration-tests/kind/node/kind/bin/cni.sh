#!/bin/bash
# The pod network of a cluster of one node, in place of kindnet: the reference CNI plugins from Debian, given the node's
# range of pod addresses as soon as the controller manager has assigned it. There are no routes to other nodes.
set -euo pipefail

kubectl=(kubectl --kubeconfig /etc/kubernetes/kubelet.conf)
cidr=
# kubeadm writes kubelet.conf and registers the node long after systemd starts this.
until [ -n "$cidr" ]; do
    sleep 0.5
    cidr=$("${kubectl[@]}" get node "$(hostname)" -o 'jsonpath={.spec.podCIDR}' 2>/dev/null || true)
done

echo 1 >/proc/sys/net/ipv4/ip_forward
mkdir -p /etc/cni/net.d
# Renamed into place: containerd watches the folder and must not read half a file.
cat >/etc/cni/net.d/.partial <<CONFIG
{
  "cniVersion": "0.3.1",
  "name": "kind",
  "plugins": [
    {
      "type": "ptp",
      "ipMasq": true,
      "mtu": $(cat /sys/class/net/eth0/mtu),
      "ipam": {
        "type": "host-local",
        "dataDir": "/run/cni-ipam-state",
        "routes": [{ "dst": "0.0.0.0/0" }],
        "ranges": [[{ "subnet": "$cidr" }]]
      }
    },
    { "type": "portmap", "capabilities": { "portMappings": true } }
  ]
}
CONFIG
mv /etc/cni/net.d/.partial /etc/cni/net.d/10-kind.conflist
echo "the pod network is $cidr"
