package transport

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Endpoint is the address of a server, below which its routes stand.
type Endpoint struct {
	// Origin is what two addresses of one server share.
	Origin string
	// Prefix is the path that routes stand below, without a slash at its end.
	Prefix string
}

// What is wrong with an address. None holds the address itself: that may hold a password.
var (
	ErrAddress = errors.New("give an address such as https://flags.example.com")
	errPort    = errors.New("the port of an address is 1 to 65535")
	errIPv6    = errors.New("an IPv6 address stands in brackets, such as http://[::1]:8000")
)

// EndpointOf reads an address, which has to be http or https.
func EndpointOf(address string) (Endpoint, error) {
	found, err := url.Parse(address)
	if err != nil || (found.Scheme != "http" && found.Scheme != "https") {
		return Endpoint{}, ErrAddress
	}
	if err := checkHost(found); err != nil {
		return Endpoint{}, err
	}
	return Endpoint{originOf(found), strings.TrimRight(found.EscapedPath(), "/")}, nil
}

// checkHost fails for a host or a port that nobody can connect to.
func checkHost(address *url.URL) error {
	host := address.Hostname()
	if host == "" {
		return ErrAddress
	}
	isBracketed := strings.HasPrefix(address.Host, "[")
	if found, err := netip.ParseAddr(host); isBracketed != strings.Contains(host, ":") || (isBracketed && (err != nil || !found.Is6())) {
		return errIPv6
	}
	if port := address.Port(); port != "" {
		if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
			return errPort
		}
	}
	return nil
}

// IsTLS says whether the server is reached over TLS.
func (e Endpoint) IsTLS() bool { return strings.HasPrefix(e.Origin, "https:") }

// At is a route's whole address.
func (e Endpoint) At(path string) string { return e.Origin + e.Prefix + path }

// OriginOf is the origin of an address; empty for what is none.
func OriginOf(address string) string {
	found, err := url.Parse(address)
	if err != nil || found.Host == "" {
		return ""
	}
	return originOf(found)
}

func originOf(address *url.URL) string {
	// A zone of IPv6 is written with an escape, which reading took away.
	host := strings.ReplaceAll(strings.ToLower(address.Host), "%", "%25")
	usual := map[string]string{"http": ":80", "https": ":443"}[address.Scheme]
	return address.Scheme + "://" + strings.TrimSuffix(strings.TrimSuffix(host, usual), ":")
}
