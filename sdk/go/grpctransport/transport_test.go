package grpctransport_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"openflagship"
	"openflagship/grpctransport"
	"openflagship/grpctransport/internal/v1"
)

const (
	key = "fs_server_test"
	// A certificate for 127.0.0.1 that signs itself, with its key.
	certificate = "../../python/tests/data/tls.pem"
	patience    = 60 * time.Second
)

// platform serves one flag, over TLS, at one address however often it comes back.
type platform struct {
	t       *testing.T
	address string
	version atomic.Int64
	batches chan *v1.IngestRequest
	server  *grpc.Server
}

func (p *platform) start() {
	listener, err := net.Listen("tcp", p.address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.address = listener.Addr().String()
	pair, err := tls.LoadX509KeyPair(certificate, certificate)
	if err != nil {
		p.t.Fatal(err)
	}
	p.server = grpc.NewServer(
		grpc.Creds(credentials.NewServerTLSFromCert(&pair)), grpc.UnknownServiceHandler(p.answer),
	)
	go func() { _ = p.server.Serve(listener) }()
}

func (p *platform) answer(_ any, stream grpc.ServerStream) error {
	sent, _ := metadata.FromIncomingContext(stream.Context())
	if got := sent.Get("authorization"); len(got) != 1 || got[0] != "Bearer "+key {
		return status.Error(codes.Unauthenticated, "The credential is unknown.")
	}
	method, _ := grpc.MethodFromServerStream(stream)
	switch method {
	case "/openflagship.v1.Config/GetSnapshot":
		version := p.version.Load()
		document := fmt.Appendf(nil, `{"contract":1,"version":%d,"flags":{"asked":{"key":"asked","type":"boolean",`+
			`"enabled":true,"variants":[{"key":"on","value":true}],"defaultVariant":"on"}}}`, version)
		return stream.SendMsg(&v1.GetSnapshotResponse{Etag: fmt.Sprint(version), Document: document})
	case "/openflagship.v1.Config/Watch":
		age, retry := 0.5, int64(20)
		said := &v1.WatchResponse{AgeSeconds: &age, RetryMilliseconds: &retry}
		if version := p.version.Load(); version > 1 {
			said = &v1.WatchResponse{Version: &version, Kind: "flag_archived", Document: []byte(`{"key":"asked","deleted":true}`)}
		}
		if err := stream.SendMsg(said); err != nil {
			return err
		}
		<-stream.Context().Done()
		return nil
	default:
		batch := &v1.IngestRequest{}
		if err := stream.RecvMsg(batch); err != nil {
			return err
		}
		p.batches <- batch
		return stream.SendMsg(&v1.IngestResponse{Id: batch.GetId(), Accepted: 1})
	}
}

func TestClient_AServerThatGoesAndComesBack_IsFollowedAgainAndNothingIsLeft(t *testing.T) {
	server := &platform{t: t, address: "127.0.0.1:0", batches: make(chan *v1.IngestRequest, 10)}
	server.version.Store(1)
	server.start()
	authorities := x509.NewCertPool()
	text, err := os.ReadFile(certificate)
	if err != nil {
		t.Fatal(err)
	}
	authorities.AppendCertsFromPEM(text)
	client, err := openflagship.New(key, "http://127.0.0.1:9", openflagship.Options{
		Transport:  grpctransport.New(server.address, grpctransport.Options{TLS: &tls.Config{RootCAs: authorities}}),
		Logger:     slog.New(slog.NewTextHandler(io.Discard, nil)),
		FirstPause: 10 * time.Millisecond, MostPause: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the stream is open", func() bool { return client.Status().Connection == "streaming" })

	server.server.Stop()
	until(t, "the loss is noticed", func() bool { return client.Status().Connection == "reconnecting" })
	if !client.IsEnabled("asked", openflagship.User{ID: "user-1"}) {
		t.Error("it does not serve what it had")
	}
	server.version.Store(2)
	server.start()
	until(t, "what was missed is heard", func() bool { return client.Status().ConfigVersion == 2 })

	client.Track("purchase", openflagship.User{ID: "user-1"}, openflagship.TrackDetails{
		Properties: map[string]any{"note": strings.Repeat("x", 2000)},
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := client.Flush(ctx); err != nil {
		t.Error(err)
	}
	exposure, purchase := <-server.batches, <-server.batches
	if exposure.GetKind() != v1.EventKind_EVENT_KIND_EXPOSURE || purchase.GetKind() != v1.EventKind_EVENT_KIND_CONVERSION ||
		!strings.Contains(string(purchase.GetBody()), "purchase") || purchase.GetId() == "" {
		t.Errorf("the events are not what was told: %v, %v", exposure, purchase)
	}
	_ = client.Close(ctx)
	server.server.Stop()
	until(t, "no goroutine is left", func() bool { return !strings.Contains(stacks(), "google.golang.org/grpc/internal") })
}

func TestNew_ATransportThatIsNone_IsRefused(t *testing.T) {
	_, err := openflagship.New(key, "http://127.0.0.1:9", openflagship.Options{
		Transport: grpctransport.New("\x00", grpctransport.Options{Plain: true}),
	})
	if err == nil || !strings.Contains(err.Error(), "Transport") {
		t.Errorf("it is not refused by name: %v", err)
	}
}

func stacks() string {
	text := make([]byte, 1<<20)
	return string(text[:runtime.Stack(text, true)])
}

func until(t *testing.T, what string, check func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !check(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it did not come about that %s", what)
		}
	}
}
