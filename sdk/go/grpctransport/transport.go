// Package grpctransport lets a client of openflagship speak gRPC: the stream, the snapshot and events go over one
// connection, as openflagship.v1 has them.
//
//	client, err := openflagship.New(key, "https://flags.example.com", openflagship.Options{
//		Transport: grpctransport.New("flags.example.com:8013", grpctransport.Options{}),
//	})
//
// What that service lacks, which are acknowledgements, goes over HTTP to the client's address.
package grpctransport

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	"openflagship"
)

const (
	// As large as a snapshot over HTTP may be.
	mostBytes = 256 << 20
	// A connection whose other end has vanished is noticed after both. Servers put up with a ping every 5 s.
	pingAfter, pingWait = 15 * time.Second, 10 * time.Second
)

var errClosed = errors.New("the client is closed")

// Options are those of the connection.
type Options struct {
	// TLS has authorities in place of the system's, and a certificate where the server asks for one.
	TLS *tls.Config
	// Plain: without TLS, such as to this machine. The key is then readable on the way.
	Plain bool
	// Dial are further options of gRPC.
	Dial []grpc.DialOption
}

// New is the transport to a server's gRPC port, such as flags.example.com:8013, or to another target of gRPC's, such as
// dns:///flags.example.com:8013 or unix:/run/flagship.sock. It connects once a client asks. openflagship.New fails for a
// target that cannot work.
func New(target string, options Options) openflagship.Transport {
	return &transport{target, options}
}

type transport struct {
	target  string
	options Options
}

// Carry fails for a target that gRPC cannot connect to.
func (t *transport) Carry(next http.RoundTripper) (http.RoundTripper, error) {
	if err := checkTarget(t.target, len(t.options.Dial) > 0); err != nil {
		return nil, err
	}
	safe := insecure.NewCredentials()
	if !t.options.Plain {
		config := &tls.Config{MinVersion: tls.VersionTLS12}
		if t.options.TLS != nil {
			config = t.options.TLS
		}
		safe = credentials.NewTLS(config)
	}
	// The client alone decides when to try again.
	dial := append([]grpc.DialOption{
		grpc.WithTransportCredentials(safe), grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(mostBytes)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingWait}),
	}, t.options.Dial...)
	tried, err := grpc.NewClient(t.target, dial...)
	if err != nil {
		return nil, errors.New(strings.ReplaceAll(err.Error(), t.target, "…"))
	}
	return &carrier{target: t.target, dial: dial, next: next}, tried.Close()
}

// carrier answers requests by calls.
type carrier struct {
	target string
	dial   []grpc.DialOption
	next   http.RoundTripper

	mutex    sync.Mutex
	present  *grpc.ClientConn
	agent    string
	isClosed bool
}

// RoundTrip answers as HTTP would.
func (c *carrier) RoundTrip(request *http.Request) (*http.Response, error) {
	_, route, _ := strings.Cut(request.URL.Path, "/api/")
	kind, isEvents := strings.CutPrefix(route, "events/")
	var call func(context.Context, *grpc.ClientConn, *http.Request) (*http.Response, error)
	switch {
	case request.Method == http.MethodGet && route == "snapshot":
		call = snapshot
	case request.Method == http.MethodGet && route == "stream":
		call = watch
	case request.Method == http.MethodPost && isEvents && kinds[kind] != 0:
		call = ingest
	default:
		return c.next.RoundTrip(request)
	}
	connection, err := c.connection(request.Header.Get("User-Agent"))
	if err != nil {
		return nil, err
	}
	ctx := metadata.AppendToOutgoingContext(request.Context(), "authorization", request.Header.Get("Authorization"))
	response, err := call(ctx, connection, request)
	if err == nil {
		return response, nil
	}
	c.leave(connection)
	return answerOf(err, request)
}

// connection is the present one, unless it has failed: gRPC would wait before it connects again, and the client has
// waited already.
func (c *carrier) connection(agent string) (*grpc.ClientConn, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.isClosed {
		return nil, errClosed
	}
	if c.present != nil && c.agent == agent && !hasFailed(c.present) {
		return c.present, nil
	}
	made, err := grpc.NewClient(c.target, append(c.dial, grpc.WithUserAgent(agent))...)
	if err != nil {
		return nil, err
	}
	if c.present != nil {
		_ = c.present.Close()
	}
	c.present, c.agent = made, agent
	return made, nil
}

// leave closes a connection that has failed, so that it does not try again by itself.
func (c *carrier) leave(connection *grpc.ClientConn) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.present == connection && hasFailed(connection) {
		_ = connection.Close()
		c.present = nil
	}
}

func hasFailed(connection *grpc.ClientConn) bool {
	state := connection.GetState()
	return state == connectivity.TransientFailure || state == connectivity.Shutdown
}

// Close closes the connection.
func (c *carrier) Close() error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.isClosed = true
	if c.present == nil {
		return nil
	}
	return c.present.Close()
}
