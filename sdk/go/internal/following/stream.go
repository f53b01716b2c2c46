package following

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"openflagship/internal/transport"
)

// An event may take longer than a keep-alive, where it is large; at least this much of it has to come each second.
const leastBytesASecond = 16 << 10

// stream follows the stream until it ends. It fails where the stream does not begin, or does not end in order.
func (s *Synchroniser) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	response, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	since := time.Now()
	s.noteStream(response.Header)
	err = s.follow(ctx, cancel, response.Body)
	s.noteEnd(since)
	if err == nil {
		s.noteLost(true)
	}
	return err
}

// open asks for the stream where it is, and goes where a server that may do so sends us.
func (s *Synchroniser) open(ctx context.Context) (*http.Response, error) {
	header := s.header.Clone()
	header.Set("Accept", "text/event-stream")
	header.Set("Accept-Encoding", "identity")
	header.Set("Cache-Control", "no-cache")
	header.Set("Last-Event-ID", strconv.FormatInt(s.configuration.Version(), 10))
	address := s.address.current().At("/api/stream")
	for redirects := 1; ; redirects++ {
		response, err := s.way.Open(ctx, http.MethodGet, address, header, nil)
		if err != nil {
			s.address.noteFailure()
			return nil, err
		}
		kind := response.Header.Get("Content-Type")
		if response.StatusCode == http.StatusOK && strings.HasPrefix(kind, "text/event-stream") {
			return response, nil
		}
		problem := s.problemOf(response)
		_ = response.Body.Close()
		target := ""
		if isRedirect(response.StatusCode) && redirects < mostRedirects {
			target = s.address.redirected(address, response.Header.Get("Location"))
		}
		if target == "" {
			if !isKeyRefusal(response.StatusCode) {
				s.address.noteFailure()
			}
			refused := transport.Refused(response.StatusCode, response.Header, "GET stream", problem)
			refused.IsOfStream = true
			return nil, refused
		}
		address = target
	}
}

func (s *Synchroniser) problemOf(response *http.Response) string {
	if isRedirect(response.StatusCode) {
		return fmt.Sprintf(
			"it is at %s, which the snapshot does not name; give it as StreamURL", transport.Target(response.Header),
		)
	}
	if response.StatusCode == http.StatusOK {
		return fmt.Sprintf("it is '%s', and no event stream", transport.Short(response.Header.Get("Content-Type"), 100))
	}
	return transport.Reason(transport.ReadRefusal(response.Body, s.settings.Connect))
}

func (s *Synchroniser) noteStream(header http.Header) {
	s.become(Streaming)
	s.clearFailure()
	s.refusals.Reset()
	// What an earlier failure asked for is no pause after this stream.
	s.pause = 0
	if age, isSaid := transport.Age(header); isSaid || !s.saysAge {
		s.noteAge(age)
	}
}

func (s *Synchroniser) noteAge(age time.Duration) {
	s.senderAge = age
	s.configuration.confirm(age)
}

func (s *Synchroniser) noteEnd(since time.Time) {
	if time.Since(since) >= s.settings.Healthy {
		s.backoff.Reset()
	}
	// It brought something. One that is cut before that leaves the poll where it was due.
	if s.isAlive {
		s.isAlive = false
		s.nextPoll = time.Now().Add(s.settings.PollAfter)
	}
}

// follow reads the stream. A watch of its own ends one that gives no sign of life, as a half-open connection.
func (s *Synchroniser) follow(ctx context.Context, cancel context.CancelCauseFunc, body io.Reader) error {
	var parser transport.EventParser
	late := fmt.Errorf("timed out: no sign of life on the stream for %s", s.settings.Silence)
	watch := time.AfterFunc(s.settings.Silence, func() { cancel(late) })
	defer watch.Stop()
	signAt := time.Now()
	piece := make([]byte, 64<<10)
	for {
		count, failure := body.Read(piece)
		comments := parser.Comments
		events, err := parser.Feed(piece[:count])
		if err != nil {
			return err
		}
		s.serverRetry = min(parser.Retry, s.settings.MostPause)
		// Part of an event, or a byte now and then, is no sign that its sender is well.
		if parser.Comments != comments || len(events) > 0 {
			signAt = time.Now()
			s.isAlive = true
			if parser.Comments != comments {
				s.noteAge(parser.Age)
			} else if s.senderAge < s.settings.StaleAfter {
				// An event is news. It is no proof where its sender has said that it hears nothing itself.
				s.configuration.confirm(0)
			}
		}
		if len(events) > 0 {
			watch.Stop()
			if err := s.take(ctx, events); err != nil {
				return err
			}
		}
		if failure != nil {
			return s.endOf(ctx, failure)
		}
		allowed := s.settings.Silence + time.Duration(parser.Waiting())*time.Second/leastBytesASecond
		watch.Reset(time.Until(signAt.Add(allowed)))
	}
}

// endOf is why reading ended; nil for an orderly end.
func (s *Synchroniser) endOf(ctx context.Context, failure error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if failure == io.EOF {
		return nil
	}
	return failure
}

// told is the latest version that the events name, and whether any names another one than the present.
func (s *Synchroniser) told(events []transport.Event) (latest int64, isOther bool, err error) {
	present := s.configuration.Version()
	for _, event := range events {
		if !isKnownKind(event.Kind) {
			continue
		}
		version, hasVersion, err := versionOf(event)
		if err != nil {
			return 0, false, err
		}
		latest = max(latest, version)
		isOther = isOther || !hasVersion || version != present
	}
	return latest, isOther, nil
}

// take applies the events, or fetches the snapshot.
func (s *Synchroniser) take(ctx context.Context, events []transport.Event) error {
	if secret := s.settings.SigningSecret; secret != "" {
		return s.takeSigned(ctx, events, secret)
	}
	isApplied, err := s.configuration.apply(events)
	if isApplied {
		s.follower.Applied()
	}
	return err
}

// takeSigned applies one signed snapshot, unless it is an old one that somebody replays.
func (s *Synchroniser) takeSigned(ctx context.Context, events []transport.Event, secret string) error {
	if proof := signedSnapshotIn(events, secret); proof != nil {
		environment, err := ParseSnapshot(proof.Body, s.configuration.Environment())
		if err != nil {
			return err
		}
		if environment.Version() >= s.configuration.Version() {
			s.configuration.replace(environment, taken{isFromStream: true, proof: proof})
			s.follower.Applied()
			return nil
		}
	}
	// What bears no signature is taken as news that there is something to fetch.
	latest, isOther, err := s.told(events)
	if err != nil || !isOther {
		return err
	}
	s.configuration.hear(latest)
	return s.resync(ctx)
}
