package grpctransport_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"openflagship"
	"openflagship/grpctransport"
)

func made(t *testing.T, target string, options grpctransport.Options) error {
	t.Helper()
	client, err := openflagship.New("", "https://flags.example.com", openflagship.Options{
		Mode: openflagship.Offline, Transport: grpctransport.New(target, options),
	})
	if err == nil {
		_ = client.Close(context.Background())
	}
	return err
}

func TestNew_TargetsThatCannotWork_AreRefusedByName(t *testing.T) {
	for target, problem := range map[string]string{
		"": "is empty", " \n": "is empty", "dns:///": "is empty", "unix:": "is empty", "passthrough:///": "is empty",
		"http://127.0.0.1:9602": "without http://", "https://flags.example.com": "without http://",
		"HTTP://user:password@host:1":   "without http://",
		"grpc://flags.example.com:8013": "scheme", "ftp://user:password@host": "scheme",
		"127.0.0.1:0": "port", "127.0.0.1:65536": "port", "flags.example.com:": "port", "flags.example.com:no-such-port": "port",
		"dns:///flags.example.com:99999": "port", "[::1]:65536": "port", "flags.example.com:8013/path": "port",
		"flags.example.com/path": "host", "user:password@flags.example.com:8013": "host", "user@flags.example.com:8013": "host",
		"::1:8013:x": "host", "::g": "host", "[::g]:8013": "host", "flags example.com:8013": "host", "\x00": "host",
		"127.0.0.1:8013\n": "", "dns:///user:password@host:8013": "host",
	} {
		err := made(t, target, grpctransport.Options{Plain: true})
		if err == nil || !strings.HasPrefix(err.Error(), "openflagship: Transport: ") || !strings.Contains(err.Error(), problem) ||
			strings.Contains(err.Error(), "password") {
			t.Errorf("%q: %v", target, err)
		}
	}
}

func TestNew_TargetsOfEachKind_AreTaken(t *testing.T) {
	for _, target := range []string{
		"flags.example.com:8013", "flags.example.com", "127.0.0.1:8013", "127.0.0.1", "localhost:https", "[::1]:8013", "::1", "[::1]",
		"[fe80::1%25eth0]:8013", ":8013", "dns:flags.example.com:8013", "dns:///flags.example.com:8013", "dns:///[::1]:8013",
		"dns://8.8.8.8/flags.example.com:8013", "unix:run/flagship.sock", "unix:///run/flagship.sock", "unix-abstract:flagship",
		"passthrough:///anything", "flags_1.example:65535",
	} {
		if err := made(t, target, grpctransport.Options{Plain: true}); err != nil {
			t.Errorf("%q: %v", target, err)
		}
	}
	// A dialer or a resolver of the caller's own may know what to do with another.
	own := grpctransport.Options{Dial: []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return nil, net.ErrClosed }),
	}}
	if err := made(t, "fleet://flags", own); err != nil {
		t.Error(err)
	}
	for _, target := range []string{"", "http://flags.example.com"} {
		if made(t, target, own) == nil {
			t.Errorf("%q is taken", target)
		}
	}
}
