package grpctransport

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"google.golang.org/grpc/resolver"
)

const usualTarget = "give the server's gRPC port, such as flags.example.com:8013"

// What is wrong with a target. None holds the target itself: that may hold a password.
var (
	errEmpty  = errors.New("the target is empty: " + usualTarget)
	errURL    = errors.New("the target is no address of HTTP: " + usualTarget + ", without http://")
	errScheme = errors.New("gRPC does not know the target's scheme: " + usualTarget + ", or one with dns:/// or unix:")
	errPort   = errors.New("the target's port is none, which is 1 to 65535: " + usualTarget)
	errHost   = errors.New("the target is no host with a port: " + usualTarget)
)

// checkTarget fails for what no connection can ever come of. Further options of gRPC may bring resolvers of their own.
func checkTarget(target string, hasOptions bool) error {
	if strings.TrimSpace(target) == "" {
		return errEmpty
	}
	scheme, _, hasScheme := strings.Cut(target, "://")
	if scheme = strings.ToLower(scheme); hasScheme && (scheme == "http" || scheme == "https") {
		return errURL
	}
	if hasOptions {
		return nil
	}
	// As gRPC reads it: what is no URL of a scheme that it knows is a host.
	parsed, err := url.Parse(target)
	if err != nil || resolver.Get(parsed.Scheme) == nil {
		if hasScheme {
			return errScheme
		}
		return checkHost(target)
	}
	endpoint := strings.TrimPrefix(parsed.Path, "/")
	if endpoint == "" {
		endpoint = parsed.Opaque
	}
	if parsed.Scheme == "dns" {
		return checkHost(endpoint)
	}
	if endpoint == "" {
		return errEmpty
	}
	return nil
}

// checkHost takes what gRPC does: a name or an address, with or without a port.
func checkHost(endpoint string) error {
	if endpoint == "" {
		return errEmpty
	}
	if net.ParseIP(endpoint) != nil {
		return nil
	}
	host, port, err := net.SplitHostPort(endpoint)
	if err != nil {
		if host, port, err = net.SplitHostPort(endpoint + ":443"); err != nil {
			return errHost
		}
	}
	isStrange := func(one rune) bool { return one <= ' ' || one == '\x7f' || strings.ContainsRune("/@?#", one) }
	if strings.ContainsFunc(host, isStrange) {
		return errHost
	}
	if _, err := netip.ParseAddr(host); err != nil && strings.Contains(host, ":") {
		return errHost
	}
	if number, err := net.LookupPort("tcp", port); err != nil || number == 0 {
		return errPort
	}
	return nil
}
