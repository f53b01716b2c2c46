package transport

import (
	"errors"
	"net/url"
	"strings"
)

// Endpoint is the address of a server, below which its routes stand.
type Endpoint struct {
	// Origin is what two addresses of one server share.
	Origin string
	// Prefix is the path that routes stand below, without a slash at its end.
	Prefix string
}

// ErrAddress does not hold the address itself: that may hold a password.
var ErrAddress = errors.New("give an address such as https://flags.example.com")

// EndpointOf reads an address, which has to be http or https.
func EndpointOf(address string) (Endpoint, error) {
	found, err := url.Parse(address)
	if err != nil || (found.Scheme != "http" && found.Scheme != "https") || found.Hostname() == "" {
		return Endpoint{}, ErrAddress
	}
	return Endpoint{originOf(found), strings.TrimRight(found.EscapedPath(), "/")}, nil
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
	host := strings.ToLower(address.Host)
	usual := map[string]string{"http": ":80", "https": ":443"}[address.Scheme]
	return address.Scheme + "://" + strings.TrimSuffix(host, usual)
}
