package openflagship

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"openflagship/internal/settings"
)

// Mode is how a client is kept current.
type Mode = settings.Mode

// The modes of a client.
const (
	// Stream: changes arrive within a second.
	Stream = settings.Stream
	// Poll: the snapshot is asked for now and then.
	Poll = settings.Poll
	// OnDemand: nothing runs in the background; Refresh, at the start of a request, refreshes what is older than Poll.
	OnDemand = settings.OnDemand
	// Offline: nobody is asked.
	Offline = settings.Offline
)

// Event is an event as it is sent: an exposure, a conversion or a metric's value.
type Event = map[string]any

// Transport carries what a client asks of FlagShip, in place of HTTP. It only delivers: when to ask again, what is stale
// and what is sent once more, the client decides alike for each.
type Transport interface {
	// Carry is called once for each client. What it gives answers the client's requests, and hands those that it does not
	// know to next, which is HTTP. Where it is an io.Closer, the client's Close closes it.
	Carry(next http.RoundTripper) (http.RoundTripper, error)
}

// mostDuration is far below what sums of durations can hold.
const mostDuration = 365 * 24 * time.Hour

// Options are a client's. What is left out has the default that stands beside it.
type Options struct {
	// Mode is Stream.
	Mode Mode
	// StreamURL is the stream's address, where it is not the one that the API names.
	StreamURL string
	// Bootstrap is a snapshot to serve from until the network has answered, as JSON.
	Bootstrap []byte
	// Store is where the last good snapshot is kept, such as a FileStore.
	Store Store
	// SigningSecret: accept signed snapshots only. nil for none.
	SigningSecret *string
	// HashKey: user ids leave the process as HMAC-SHA256 under this key. nil for none.
	HashKey *string
	// BeforeSend sees each event before it is sent, and may change it, or drop it by returning nil.
	BeforeSend func(Event) Event
	// DisableEvents: neither exposures nor conversions nor summaries are sent.
	DisableEvents bool
	// Hooks are called around every evaluation.
	Hooks []Hook
	// Logger is where warnings go; slog's default logger.
	Logger *slog.Logger
	// Instance is the name of this process in the list of connected services; host and process id.
	Instance string
	// CAFile is a file of authorities in PEM, in place of the system's.
	CAFile string
	// Transport carries requests in place of HTTP, such as that of openflagship/grpctransport; HTTP alone.
	Transport Transport
	// Proxy is an HTTP proxy's address, or "direct" for none; HTTPS_PROXY, HTTP_PROXY and NO_PROXY.
	Proxy string

	// StartWait is how long Ready waits where its context has no deadline; 5 s.
	StartWait time.Duration
	// PollInterval is between polls; 60 s.
	PollInterval time.Duration
	// PollAfter is how long there is no stream until the first poll; 30 s.
	PollAfter time.Duration
	// StaleAfter is how long there is no news of the configuration until answers are marked stale; 120 s.
	StaleAfter time.Duration
	// ConnectTimeout is for a connection, and for the head of an answer; 10 s.
	ConnectTimeout time.Duration
	// AnswerTimeout is for a whole answer; 60 s.
	AnswerTimeout time.Duration
	// SilenceTimeout is without a sign of life on the stream; 35 s.
	SilenceTimeout time.Duration
	// FirstPause is the ceiling of the first pause after a failure, which each failure doubles; 1 s.
	FirstPause time.Duration
	// MostPause is the highest ceiling; 30 s.
	MostPause time.Duration
	// MostRefusedPause is the longest pause after 401, 403 and 404; 5 min.
	MostRefusedPause time.Duration
	// HealthyAfter is how long a stream lasts until pauses start anew; 60 s.
	HealthyAfter time.Duration
	// FlushInterval is between sendings of events; 10 s.
	FlushInterval time.Duration
	// UsageInterval is between summaries of what was evaluated; 60 s.
	UsageInterval time.Duration
	// CloseWait is what Close waits at most; 5 s.
	CloseWait time.Duration

	// FlushCount is how many waiting events are sent at once; 100.
	FlushCount int
	// MostEvents is how many events of a kind wait at most, more are dropped and counted; 10,000.
	MostEvents int
}

// String is for logs: it leaves out secrets, addresses that may hold a password, and rules, which may name users.
func (o Options) String() string {
	type plain Options
	shown := plain(o)
	for _, one := range []*string{&shown.StreamURL, &shown.Proxy} {
		if *one != "" {
			*one = "…"
		}
	}
	// Of a secret the address in memory is printed; not even that is of use.
	shown.SigningSecret, shown.HashKey, shown.Bootstrap = nil, nil, nil
	return fmt.Sprintf("%+v", shown)
}

// GoString is String, for %#v.
func (o Options) GoString() string { return "openflagship.Options" + o.String() }

// settled are the options with their defaults. It fails for what cannot work; nothing later on does.
func (o *Options) settled() (*settings.Settings, error) {
	s := &settings.Settings{
		Mode: o.Mode, StreamURL: o.StreamURL, BeforeSend: o.BeforeSend, IsSending: !o.DisableEvents,
		StartWait: o.StartWait, Poll: o.PollInterval, PollAfter: o.PollAfter, StaleAfter: o.StaleAfter,
		Connect: o.ConnectTimeout, Answer: o.AnswerTimeout, Silence: o.SilenceTimeout, FirstPause: o.FirstPause,
		MostPause: o.MostPause, MostRefused: o.MostRefusedPause, Healthy: o.HealthyAfter, Flush: o.FlushInterval,
		Usage: o.UsageInterval, CloseWait: o.CloseWait, FlushCount: o.FlushCount, MostEvents: o.MostEvents,
	}
	switch s.Mode {
	case "":
		s.Mode = Stream
	case Stream, Poll, OnDemand, Offline:
	default:
		return nil, errors.New("openflagship: Mode: give Stream, Poll, OnDemand or Offline")
	}
	for _, one := range []struct {
		name      string
		given     *time.Duration
		otherwise time.Duration
	}{
		{"StartWait", &s.StartWait, 5 * time.Second},
		{"PollInterval", &s.Poll, time.Minute},
		{"PollAfter", &s.PollAfter, 30 * time.Second},
		{"StaleAfter", &s.StaleAfter, 2 * time.Minute},
		{"ConnectTimeout", &s.Connect, 10 * time.Second},
		{"AnswerTimeout", &s.Answer, time.Minute},
		{"SilenceTimeout", &s.Silence, 35 * time.Second},
		{"FirstPause", &s.FirstPause, time.Second},
		{"MostPause", &s.MostPause, 30 * time.Second},
		{"MostRefusedPause", &s.MostRefused, 5 * time.Minute},
		{"HealthyAfter", &s.Healthy, time.Minute},
		{"FlushInterval", &s.Flush, 10 * time.Second},
		{"UsageInterval", &s.Usage, time.Minute},
		{"CloseWait", &s.CloseWait, 5 * time.Second},
	} {
		if *one.given < 0 || *one.given > mostDuration {
			return nil, fmt.Errorf("openflagship: %s: give a duration above 0 and up to %v, or leave it out", one.name, mostDuration)
		}
		if *one.given == 0 {
			*one.given = one.otherwise
		}
	}
	if s.MostPause < s.FirstPause {
		return nil, errors.New("openflagship: MostPause: give at least FirstPause")
	}
	if s.FlushCount < 0 || s.MostEvents < 0 {
		return nil, errors.New("openflagship: FlushCount, MostEvents: give a number above 0, or leave it out")
	}
	if s.FlushCount == 0 {
		s.FlushCount = 100
	}
	if s.MostEvents == 0 {
		s.MostEvents = 10_000
	}
	if err := o.checkStore(); err != nil {
		return nil, err
	}
	return s, o.settleSecrets(s)
}

// checkStore refuses what the SDK's own stores cannot work with, such as the path of a variable that is not set.
func (o *Options) checkStore() error {
	problem, isNil := "", false
	switch store := o.Store.(type) {
	case FileStore:
		problem = store.problem()
	case *FileStore:
		if isNil = store == nil; !isNil {
			problem = store.problem()
		}
	case RedisStore:
		problem = store.problem()
	case *RedisStore:
		if isNil = store == nil; !isNil {
			problem = store.problem()
		}
	case *MemoryStore:
		isNil = store == nil
	}
	if isNil {
		problem = "it is a pointer to nothing; leave it out"
	}
	if problem != "" {
		return errors.New("openflagship: Store: " + problem)
	}
	return nil
}

// settleSecrets refuses an empty secret, such as that of a variable that is not set: it would protect nothing.
func (o *Options) settleSecrets(s *settings.Settings) error {
	for _, one := range []struct {
		name  string
		given *string
		into  *string
	}{{"SigningSecret", o.SigningSecret, &s.SigningSecret}, {"HashKey", o.HashKey, &s.HashKey}} {
		if one.given == nil {
			continue
		}
		if strings.TrimSpace(*one.given) == "" {
			return fmt.Errorf("openflagship: %s: it is empty; give a secret, or leave it out", one.name)
		}
		*one.into = *one.given
	}
	return nil
}

func (o *Options) authorities() (*x509.CertPool, error) {
	if o.CAFile == "" {
		return nil, nil
	}
	text, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, fmt.Errorf("openflagship: CAFile: it cannot be read: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("openflagship: CAFile: %s holds no certificates", o.CAFile)
	}
	return pool, nil
}
