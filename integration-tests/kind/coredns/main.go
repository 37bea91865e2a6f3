// CoreDNS with the plugins that kubeadm's Corefile names, the few that a person adds to it by hand (hosts, rewrite) and
// no other: the cluster's DNS in a kind node image that is built from Go modules.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/loop"
	_ "github.com/coredns/coredns/plugin/metrics"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/reload"
	_ "github.com/coredns/coredns/plugin/rewrite"
)

// A query passes the plugins in this order, which is CoreDNS's own (its plugin.cfg).
var order = []string{
	"reload", "ready", "health", "prometheus", "errors", "log", "cache", "rewrite", "loadbalance", "hosts", "kubernetes",
	"loop", "forward",
}

func main() {
	dnsserver.Directives = order
	coremain.Run()
}
