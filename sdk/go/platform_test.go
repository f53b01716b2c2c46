package openflagship_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"openflagship"
)

const (
	serverKey = "fs_server_test"
	control   = `{"key":"control","value":false}`
	treatment = `{"key":"treatment","value":true}`
)

func flag(key, members string) string {
	return fmt.Sprintf(
		`{"key":%q,"type":"boolean","enabled":true,"variants":[%s,%s],"defaultVariant":"control"%s}`,
		key, control, treatment, members,
	)
}

func snapshot(version int, flags ...string) []byte {
	var members []string
	for _, one := range flags {
		var named struct{ Key string }
		if err := json.Unmarshal([]byte(one), &named); err != nil {
			panic(err)
		}
		members = append(members, fmt.Sprintf("%q:%s", named.Key, one))
	}
	return fmt.Appendf(nil, `{"contract":1,"version":%d,"flags":{%s}}`, version, strings.Join(members, ","))
}

// post is what a client posted.
type post struct {
	path, id string
	body     map[string]any
	events   []any
}

// platform is a small server: a snapshot, a stream, and posts that are noted.
type platform struct {
	*httptest.Server
	mutex    sync.Mutex
	snapshot []byte
	streams  []chan string
	posts    []post
	// answer to a post; nil for a receipt.
	answer func(post) (status int, body string)
}

func newPlatform(t *testing.T, flags ...string) *platform {
	p := &platform{snapshot: snapshot(1, flags...)}
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(func() {
		p.mutex.Lock()
		for _, stream := range p.streams {
			close(stream)
		}
		p.mutex.Unlock()
		p.Close()
	})
	return p
}

func (p *platform) serve(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/api/snapshot":
		p.mutex.Lock()
		defer p.mutex.Unlock()
		_, _ = w.Write(p.snapshot)
	case r.URL.Path == "/api/stream":
		// Known before its head is sent: what is said to a client that is streaming reaches it.
		stream := make(chan string, 100)
		p.mutex.Lock()
		p.streams = append(p.streams, stream)
		p.mutex.Unlock()
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		for {
			select {
			case said, isOpen := <-stream:
				if !isOpen {
					return
				}
				_, _ = io.WriteString(w, said)
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	default:
		p.take(w, r)
	}
}

func (p *platform) take(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		reader, err := gzip.NewReader(bytes.NewReader(body))
		if err == nil {
			body, _ = io.ReadAll(reader)
		}
	}
	one := post{path: r.URL.Path, id: r.Header.Get("Idempotency-Key")}
	_ = json.Unmarshal(body, &one.body)
	one.events, _ = one.body["events"].([]any)
	p.mutex.Lock()
	p.posts = append(p.posts, one)
	answer := p.answer
	p.mutex.Unlock()
	status, said := http.StatusAccepted, fmt.Sprintf(`{"accepted":%d,"rejected":[]}`, len(one.events))
	if answer != nil {
		status, said = answer(one)
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, said)
}

// say sends every stream this text.
func (p *platform) say(text string) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for _, stream := range p.streams {
		stream <- text
	}
}

func (p *platform) posted(path string) []post {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	var found []post
	for _, one := range p.posts {
		if one.path == path {
			found = append(found, one)
		}
	}
	return found
}

func update(version int, document string) string {
	return fmt.Sprintf("id: %d\nevent: flag_updated\ndata: %s\n\n", version, document)
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func (p *platform) client(t *testing.T, options openflagship.Options) *openflagship.Client {
	t.Helper()
	if options.Logger == nil {
		options.Logger = quiet()
	}
	client, err := openflagship.New(serverKey, p.URL, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close(context.Background()) })
	if client.Ready(context.Background()) != openflagship.FromNetwork {
		t.Fatal(client.Status())
	}
	return client
}

// until waits until it is so, for as long as a busy machine may take.
func until(t *testing.T, what string, isSo func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !isSo(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it did not come about that %s", what)
		}
	}
}
