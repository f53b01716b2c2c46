package following

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"openflagship/internal/settings"
	"openflagship/internal/transport"
)

// Connection is how a client is connected.
type Connection string

// The connections of a client that follows.
const (
	Starting     Connection = "starting"
	Streaming    Connection = "streaming"
	Polling      Connection = "polling"
	Reconnecting Connection = "reconnecting"
	Refused      Connection = "refused"
)

// What another try will not soon change is asked again with long pauses. The first is ten times a usual one.
const (
	refusalFactor = 10
	goodPolls     = 2
	mostRedirects = 3
)

// Follower is told what the synchroniser does. It must not wait.
type Follower struct {
	// Applied: a configuration was.
	Applied      func()
	ConnectionIs func(Connection)
	// Failed: nothing can be had, for a reason that was not said before.
	Failed func(reason string)
}

// Synchroniser follows the configuration: first a snapshot, then the stream. It polls while there is no stream.
type Synchroniser struct {
	configuration *Configuration
	api           transport.Endpoint
	address       streamAddress
	header        http.Header
	settings      *settings.Settings
	way           *transport.Way
	follower      Follower
	hidden        func(string) string
	pauses        *transport.Pauses
	backoff       transport.Backoff
	refusals      transport.Backoff
	isStreaming   bool

	isFetched   bool
	pause       time.Duration
	serverRetry time.Duration
	goodPolls   int
	// Whether the API says how old its news is; then it alone says that it is current.
	saysAge   bool
	senderAge time.Duration
	// Whether the present stream has brought anything.
	isAlive  bool
	nextPoll time.Time

	mutex      sync.Mutex
	state      Connection
	failure    string
	reconnects int
}

// NewSynchroniser fails for an address that is none. hidden takes secrets out of texts.
func NewSynchroniser(
	configuration *Configuration, address string, header http.Header, s *settings.Settings, way *transport.Way,
	hidden func(string) string, follower Follower,
) (*Synchroniser, error) {
	api, err := transport.EndpointOf(address)
	if err != nil {
		return nil, err
	}
	found := &Synchroniser{
		configuration: configuration, api: api, address: streamAddress{api: api}, header: header, settings: s, way: way,
		follower: follower, hidden: hidden, pauses: transport.NewPauses(), isStreaming: s.Mode == settings.Stream, state: Starting,
		backoff:  transport.Backoff{First: s.FirstPause, Most: s.MostPause},
		refusals: transport.Backoff{First: min(refusalFactor*s.FirstPause, s.MostRefused), Most: s.MostRefused},
		nextPoll: time.Now().Add(s.PollAfter),
	}
	if s.StreamURL != "" {
		given, err := transport.EndpointOf(s.StreamURL)
		if err != nil {
			return nil, fmt.Errorf("StreamURL: %w", err)
		}
		found.address.given = &given
	}
	return found, nil
}

// State is the present connection, what went wrong last, and how often a connection was lost.
func (s *Synchroniser) State() (state Connection, failure string, reconnects int) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.state, s.failure, s.reconnects
}

// Run runs until the context ends.
func (s *Synchroniser) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.attempt(ctx); err != nil {
			s.noteFailure(ctx, err, false)
		}
		s.wait(ctx)
	}
}

func (s *Synchroniser) attempt(ctx context.Context) error {
	if !s.isFetched || !s.isStreaming {
		if err := s.resync(ctx); err != nil {
			return err
		}
	}
	if s.isStreaming {
		return s.stream(ctx)
	}
	return nil
}

// RunOnce asks for the snapshot once; State says what was wrong.
func (s *Synchroniser) RunOnce(ctx context.Context) {
	if err := s.fetch(ctx); err != nil {
		s.noteFailure(ctx, err, false)
	}
}

func (s *Synchroniser) present() Connection {
	state, _, _ := s.State()
	return state
}

func (s *Synchroniser) become(state Connection) {
	s.mutex.Lock()
	isNew := s.state != state
	s.state = state
	s.mutex.Unlock()
	if isNew {
		s.follower.ConnectionIs(state)
	}
}

func (s *Synchroniser) clearFailure() {
	s.mutex.Lock()
	s.failure = ""
	s.mutex.Unlock()
}

// wait waits for the next attempt at a stream, and polls meanwhile when it is due.
func (s *Synchroniser) wait(ctx context.Context) {
	_, failure, _ := s.State()
	pause := s.pause
	if !s.isStreaming && failure == "" {
		pause = s.pollPause()
	} else {
		if pause == 0 {
			pause = s.backoff.Next()
		}
		pause = max(pause, s.serverRetry)
	}
	s.pause, s.serverRetry = 0, 0
	until := time.Now().Add(pause)
	for now := time.Now(); now.Before(until) && ctx.Err() == nil; now = time.Now() {
		wake := until
		if s.isStreaming && s.isFetched {
			if !now.Before(s.nextPoll) {
				s.poll(ctx)
				continue
			}
			if s.nextPoll.Before(until) {
				wake = s.nextPoll
			}
		}
		s.pauses.Wait(ctx, wake.Sub(now))
	}
	if s.isStreaming && s.isFetched && !time.Now().Before(s.nextPoll) && ctx.Err() == nil {
		s.poll(ctx)
	}
	s.pause = 0
}

// poll asks for the snapshot. The client counts as polling while that succeeds, whatever happens to the stream.
func (s *Synchroniser) poll(ctx context.Context) {
	s.nextPoll = time.Now().Add(s.pollPause())
	if err := s.fetch(ctx); err != nil {
		s.noteFailure(ctx, err, true)
		if later := time.Now().Add(s.pause); later.After(s.nextPoll) {
			s.nextPoll = later
		}
		return
	}
	s.become(Polling)
}

func (s *Synchroniser) pollPause() time.Duration {
	return transport.Jittered(s.settings.Poll, 0.75, 1.25)
}

// resync is as fetch. It fails too where events prove nothing and the snapshot is older than they.
func (s *Synchroniser) resync(ctx context.Context) error {
	if err := s.fetch(ctx); err != nil {
		return err
	}
	if s.isStreaming && s.settings.SigningSecret != "" && s.configuration.isBehind() {
		return &resyncNeededError{"the snapshot is older than what the stream tells"}
	}
	return nil
}

// fetch asks for the snapshot, unless the present one is current.
func (s *Synchroniser) fetch(ctx context.Context) error {
	header := s.header.Clone()
	header.Set("Accept", "application/json")
	if etag := s.configuration.presentETag(); etag != "" {
		header.Set("If-None-Match", etag)
	}
	response, err := s.way.Ask(ctx, http.MethodGet, s.api.At("/api/snapshot"), header, nil, s.settings.Answer)
	if err != nil {
		return err
	}
	switch {
	case isRedirect(response.Status):
		problem := fmt.Sprintf("it is at %s; give that address", transport.Target(response.Header))
		return transport.Refused(response.Status, response.Header, "GET snapshot", problem)
	case response.Status != http.StatusOK && response.Status != http.StatusNotModified:
		return transport.Refused(response.Status, response.Header, "GET snapshot", transport.Reason(response.Body))
	}
	s.address.note(response.Header.Get(streamHeader))
	s.senderAge, s.saysAge = transport.Age(response.Header)
	if err := s.takeFetched(response); err != nil {
		return err
	}
	s.isFetched = true
	if !s.isStreaming {
		s.noteGoodPoll()
	} else if s.present() == Refused {
		s.become(Reconnecting)
	}
	return nil
}

func (s *Synchroniser) takeFetched(response *transport.Response) error {
	if response.Status == http.StatusNotModified {
		s.configuration.confirmFetched(s.senderAge)
		return nil
	}
	var proof *Proof
	if secret := s.settings.SigningSecret; secret != "" {
		// While a secret is being replaced, the server signs with the one before it too.
		signatures := append(response.Header.Values("X-Signature"), response.Header.Values("X-Signature-Previous")...)
		if err := CheckSignature(response.Body, secret, signatures); err != nil {
			return err
		}
		proof = &Proof{response.Body, signatures}
	}
	environment, err := ParseSnapshot(response.Body, s.configuration.Environment())
	if err != nil {
		return err
	}
	s.configuration.replace(environment, taken{etag: response.Header.Get("ETag"), age: s.senderAge, proof: proof})
	s.follower.Applied()
	return nil
}

func (s *Synchroniser) noteGoodPoll() {
	s.become(Polling)
	s.clearFailure()
	s.goodPolls++
	if s.goodPolls >= goodPolls {
		s.backoff.Reset()
		s.refusals.Reset()
	}
}

func (s *Synchroniser) noteLost(isPolling bool) {
	if s.present() != Polling || !isPolling {
		s.become(Reconnecting)
	}
	s.countReconnect()
}

func (s *Synchroniser) countReconnect() {
	s.mutex.Lock()
	s.reconnects++
	s.mutex.Unlock()
}

// noteKeyRefused: where the key is refused by the stream alone, the snapshot decides whether it works.
func (s *Synchroniser) noteKeyRefused(isByStream bool) {
	s.countReconnect()
	if !isByStream {
		s.become(Refused)
	} else if state := s.present(); state != Polling && state != Refused {
		s.become(Reconnecting)
		s.nextPoll = time.Now()
	}
}

func isKeyRefusal(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}

func (s *Synchroniser) noteFailure(ctx context.Context, failure error, isPoll bool) {
	if ctx.Err() != nil {
		return
	}
	text := s.hidden(failure.Error())
	s.mutex.Lock()
	isNew := s.failure != text
	s.failure = text
	s.mutex.Unlock()
	if isNew {
		s.follower.Failed(text)
	}
	s.goodPolls = 0
	var unusable *SnapshotError
	var resync *resyncNeededError
	if errors.As(failure, &unusable) || errors.As(failure, &resync) || errors.Is(failure, transport.ErrEventTooLarge) {
		s.isFetched = false
	}
	var refusal *transport.RefusedError
	isRefusal := errors.As(failure, &refusal)
	if isRefusal && isKeyRefusal(refusal.Status) {
		s.noteKeyRefused(refusal.IsOfStream)
	} else {
		s.noteLost(!isPoll)
	}
	if isRefusal && (isKeyRefusal(refusal.Status) || refusal.Status == http.StatusNotFound) {
		s.pause = s.refusals.Next()
	} else {
		s.pause = s.backoff.Next()
	}
	if isRefusal {
		// Jittered upwards, so that all who were refused at once do not come back at once.
		s.pause = max(s.pause, transport.Jittered(refusal.RetryAfter, 1, 1.25))
	}
}
