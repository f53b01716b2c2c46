// Package transport has HTTP with a deadline for every step, server-sent events, and pauses.
package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	mostBodyBytes   = 256 << 20
	mostReasonBytes = 64 << 10
	mostHeadBytes   = 256 << 10
	// Direct is the setting for no proxy at all.
	Direct = "direct"
)

// Way is how a client reaches servers. Over HTTP each request has its own connection.
type Way struct {
	transport http.RoundTripper
	connect   time.Duration
	isCarried bool
}

// What net/http speaks to a proxy. Another scheme would fail at each request.
var proxySchemes = []string{"http", "https", "socks5"}

var errProxy = errors.New("proxy: give a proxy's address such as http://proxy.example.com:3128, or direct")

// NewWay is a way with this limit for a connection, and for the head of an answer. Without a proxy's address, those of
// the environment count; without authorities, those of the system.
func NewWay(proxy string, authorities *x509.CertPool, connect time.Duration) (*Way, error) {
	through := http.ProxyFromEnvironment
	if proxy == Direct {
		through = nil
	} else if proxy != "" {
		if !strings.Contains(proxy, "://") {
			proxy = "http://" + proxy
		}
		address, err := url.Parse(proxy)
		if err != nil || address.Hostname() == "" || !slices.Contains(proxySchemes, address.Scheme) {
			// Not the address itself: it may hold a password.
			return nil, errProxy
		}
		if err := checkHost(address); err != nil {
			return nil, fmt.Errorf("proxy: %w", err)
		}
		through = http.ProxyURL(address)
	}
	dialer := &net.Dialer{Timeout: connect}
	return &Way{connect: connect, transport: &http.Transport{
		Proxy:                  through,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    connect,
		ResponseHeaderTimeout:  connect,
		MaxResponseHeaderBytes: mostHeadBytes,
		DisableKeepAlives:      true,
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{},
	}}, nil
}

// Carry lets requests go through what carry makes of HTTP's own way.
func (w *Way) Carry(carry func(next http.RoundTripper) (http.RoundTripper, error)) error {
	carrier, err := carry(w.transport)
	if err == nil && carrier == nil {
		err = errors.New("it carries nothing")
	}
	if err != nil {
		return fmt.Errorf("Transport: %w", err)
	}
	w.transport, w.isCarried = carrier, true
	return nil
}

// Close ends what a carrier keeps open.
func (w *Way) Close() {
	if closer, isOne := w.transport.(io.Closer); isOne {
		_ = closer.Close()
	}
}

// Response is an answer with its whole body, unpacked.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Open sends a request and reads the head of the answer. Redirects are answers like others. The body lives as long as
// the context.
func (w *Way) Open(ctx context.Context, method, address string, header http.Header, body []byte) (*http.Response, error) {
	return w.open(ctx, method, address, header, body, w.connect)
}

// open gives a carrier so long until the head of the answer.
func (w *Way) open(
	ctx context.Context, method, address string, header http.Header, body []byte, within time.Duration,
) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, ErrAddress
	}
	request.Header = header
	if len(body) == 0 {
		request.Body, request.ContentLength = http.NoBody, 0
	}
	if w.isCarried {
		return w.openInTime(request, within)
	}
	return w.transport.RoundTrip(request)
}

// openInTime gives up where a carrier has no head of the answer in time, as HTTP's own way does by itself.
func (w *Way) openInTime(request *http.Request, within time.Duration) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(request.Context())
	timer := time.AfterFunc(within, func() { cancel(errNoHead) })
	defer timer.Stop()
	response, err := w.transport.RoundTrip(request.WithContext(ctx))
	if err != nil {
		err = caused(ctx, err)
		cancel(nil)
		return nil, err
	}
	response.Body = &boundBody{response.Body, cancel}
	return response, nil
}

// boundBody ends what its request holds when it is closed.
type boundBody struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

func (b *boundBody) Close() error {
	defer b.cancel(nil)
	return b.ReadCloser.Close()
}

// Ask sends a request and reads the whole answer, whose body may take so long.
func (w *Way) Ask(
	ctx context.Context, method, address string, header http.Header, body []byte, whole time.Duration,
) (*Response, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 3*w.connect+whole, errLate)
	defer cancel()
	// A carrier has the head of an answer once it has all of it.
	response, err := w.open(ctx, method, address, header, body, w.connect+whole)
	if err != nil {
		return nil, caused(ctx, err)
	}
	defer response.Body.Close()
	timer := time.AfterFunc(whole, cancel)
	defer timer.Stop()
	content, err := ReadWhole(response.Body, mostBodyBytes)
	if err != nil {
		if ctx.Err() != nil {
			return nil, errLate
		}
		return nil, err
	}
	return &Response{response.StatusCode, response.Header, content}, nil
}

var (
	errLate   = errors.New("timed out: the answer did not end in time")
	errNoHead = errors.New("timed out: no answer began in time")
)

func caused(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// ReadWhole reads all of a body, and no more than the limit.
func ReadWhole(body io.Reader, most int64) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(body, most+1))
	if err == nil && int64(len(content)) > most {
		err = fmt.Errorf("the answer is larger than %d bytes", most)
	}
	return content, err
}

// ReadRefusal is what a refusal says of itself, as far as it comes in time.
func ReadRefusal(body io.ReadCloser, within time.Duration) []byte {
	timer := time.AfterFunc(within, func() { _ = body.Close() })
	defer timer.Stop()
	content, _ := io.ReadAll(io.LimitReader(body, mostReasonBytes))
	return content
}
