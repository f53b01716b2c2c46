package following

import (
	"net/http"
	"net/url"

	"openflagship/internal/transport"
)

const streamHeader = "X-FlagShip-Stream"

func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect,
		http.StatusPermanentRedirect:
		return true
	}
	return false
}

// streamAddress is where the stream is, and which server may be sent the credential.
//
// The credential goes to three origins: the API's, that of the option StreamURL, and the one that the API's own
// snapshot names. A redirect leads to these alone.
type streamAddress struct {
	api            transport.Endpoint
	given, named   *transport.Endpoint
	isNamedAvoided bool
}

// note takes the address that an answer of the API's names. One without TLS, behind an API with it, is none.
func (a *streamAddress) note(named string) {
	var found *transport.Endpoint
	if endpoint, err := transport.EndpointOf(named); err == nil && (endpoint.IsTLS() || !a.api.IsTLS()) {
		found = &endpoint
	}
	if (found == nil) != (a.named == nil) || (found != nil && *found != *a.named) {
		a.isNamedAvoided = false
	}
	a.named = found
}

func (a *streamAddress) current() transport.Endpoint {
	switch {
	case a.given != nil:
		return *a.given
	case a.named != nil && !a.isNamedAvoided:
		return *a.named
	default:
		return a.api
	}
}

// noteFailure turns from the named address to the API's own, or back: the name may be out of date.
func (a *streamAddress) noteFailure() { a.isNamedAvoided = !a.isNamedAvoided }

// redirected is where a location leads from an address; empty where the credential may not follow.
func (a *streamAddress) redirected(from, location string) string {
	base, err := url.Parse(from)
	if err != nil || location == "" {
		return ""
	}
	target, err := base.Parse(location)
	if err != nil || target.User != nil || (base.Scheme == "https" && target.Scheme != "https") {
		return ""
	}
	origin := transport.OriginOf(target.String())
	for _, known := range []*transport.Endpoint{&a.api, a.given, a.named} {
		if known != nil && known.Origin == origin {
			return target.String()
		}
	}
	return ""
}
