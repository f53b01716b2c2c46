// Package sending sends events in batches, usage summaries and acknowledgements, in the background.
package sending

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"openflagship/internal/following"
	"openflagship/internal/keeping"
	"openflagship/internal/logs"
	"openflagship/internal/settings"
	"openflagship/internal/transport"
)

const (
	mostEventsInRequest = 1000
	goodbyeWithin       = time.Second
	retryWithin         = 200 * time.Millisecond
	leastPause          = 10 * time.Millisecond
	// After so many failures in a row, one batch is tried after a longer pause.
	manyFailures = 5
	longPause    = 30 * time.Second
)

type batch struct {
	kind   Kind
	events []json.RawMessage
	// The same at every attempt, so that the platform takes the batch once.
	id string
}

// Parts are what a sender works with.
type Parts struct {
	Configuration *following.Configuration
	Queue         *Queue
	Usage         *Usage
	Keeper        *keeping.Keeper
	// Events is for events and summaries, Stream for acknowledgements.
	Events   *Poster
	Stream   *Poster
	Settings *settings.Settings
	Pauses   *transport.Pauses
	Voice    *logs.Voice
	Instance string
	SDK      string
}

// Counts are what became of events.
type Counts struct {
	Pending, Sent, Rejected, Lost int
	Failure                       string
}

// Sender runs in one goroutine; Flush, End and Counts are for others.
type Sender struct {
	Parts
	summaries *summaries
	backoff   transport.Backoff
	flushAt   time.Time
	retryAt   time.Time
	ackAt     time.Time
	// Until then the server wants no events, and gets none, flush or not.
	barredUntil  time.Time
	droppedSaid  int64
	ackedVersion int64

	mutex   sync.Mutex
	counts  Counts
	waiting []batch
	flushes []chan struct{}
	isEnded bool
	isOver  bool
	closeBy time.Time
}

// NewSender has sent nothing.
func NewSender(parts Parts) *Sender {
	s := parts.Settings
	return &Sender{
		Parts:     parts,
		summaries: newSummaries(parts.Usage, parts.Instance, parts.SDK, s.Usage, s.IsSending, parts.Voice),
		backoff:   transport.Backoff{First: s.FirstPause, Most: s.MostPause},
		flushAt:   time.Now().Add(s.Flush), ackedVersion: -1,
	}
}

// Counts is what became of events so far.
func (s *Sender) Counts() Counts {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	found := s.counts
	found.Pending = s.Queue.size()
	for _, one := range s.waiting {
		found.Pending += len(one.events)
	}
	return found
}

// Flush asks Run for an attempt to send everything now, and gives what is closed at its end.
func (s *Sender) Flush() <-chan struct{} {
	done := make(chan struct{})
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.isOver {
		close(done)
		return done
	}
	s.flushes = append(s.flushes, done)
	s.Pauses.Wake()
	return done
}

// End makes Run send the remaining events and end; it gives up then.
func (s *Sender) End(by time.Time) {
	s.mutex.Lock()
	s.isEnded, s.closeBy = true, by
	s.mutex.Unlock()
	s.Pauses.Wake()
}

func (s *Sender) end() (closeBy time.Time, isEnded bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.closeBy, s.isEnded
}

func (s *Sender) takeFlushes() []chan struct{} {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	found := s.flushes
	s.flushes = nil
	return found
}

func (s *Sender) hasFlushes() bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return len(s.flushes) > 0
}

func release(flushes []chan struct{}) {
	for _, done := range flushes {
		close(done)
	}
}

// Run runs until End, or until the context ends.
func (s *Sender) Run(ctx context.Context) {
	for {
		if _, isEnded := s.end(); isEnded || ctx.Err() != nil {
			break
		}
		asked := s.takeFlushes()
		s.summaries.sumUp(false)
		if len(asked) > 0 || s.isFlushDue() {
			s.flush(ctx, len(asked) > 0)
		}
		release(asked)
		s.summaries.send(ctx, s.Events, s.within())
		s.acknowledge(ctx)
		s.Keeper.Save(ctx, false)
		if _, isEnded := s.end(); !isEnded && !s.hasFlushes() {
			s.Pauses.Wait(ctx, s.idle())
		}
	}
	s.Close(ctx)
	s.mutex.Lock()
	s.isOver = true
	s.mutex.Unlock()
	release(s.takeFlushes())
}

// RunFlush sends everything now, until the context ends, and says which version is applied; nothing is left to run.
func (s *Sender) RunFlush(ctx context.Context) {
	for {
		s.flush(ctx, true)
		if s.Counts().Pending == 0 || ctx.Err() != nil {
			break
		}
		s.Pauses.Wait(ctx, retryWithin)
	}
	s.summaries.sumUp(false)
	s.summaries.send(ctx, s.Events, s.within())
	s.acknowledge(ctx)
	s.Keeper.Save(ctx, false)
}

func (s *Sender) isFlushDue() bool {
	now := time.Now()
	if now.Before(s.retryAt) {
		return false
	}
	return len(s.waitingBatches()) > 0 || !now.Before(s.flushAt) || s.Queue.size() >= s.Settings.FlushCount
}

func (s *Sender) idle() time.Duration {
	now := time.Now()
	next := s.summaries.due
	earlier := func(at time.Time) {
		if at.Before(next) {
			next = at
		}
	}
	switch {
	case len(s.waitingBatches()) > 0:
		earlier(s.retryAt)
	case s.Queue.size() == 0:
		// There is nothing to send. The first event does not wake the sender, so look again after the window.
		earlier(now.Add(s.Settings.Flush))
	default:
		earlier(s.flushAt)
	}
	if due, isDue := s.Keeper.Due(); isDue {
		earlier(due)
	}
	if environment, _, source := s.Configuration.Held(); source == following.Network &&
		environment.Version() != s.ackedVersion {
		earlier(s.ackAt)
	}
	return max(leastPause, next.Sub(now))
}

// within is what a post may take.
func (s *Sender) within() time.Duration {
	within := s.Settings.Connect
	if closeBy, isEnded := s.end(); isEnded {
		within = max(100*time.Millisecond, min(within, time.Until(closeBy)))
	}
	return within
}

func (s *Sender) waitingBatches() []batch {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.waiting
}

// flush sends the waiting batches, then the queued events; it stops at the first failure.
//
// Events that arrive meanwhile wait for the next batch, unless a flush was asked for.
func (s *Sender) flush(ctx context.Context, isAsked bool) {
	now := time.Now()
	if !now.Before(s.flushAt) {
		// Unsent events still belong to their window: while the server is away, repeats must not take the room of others.
		if len(s.waitingBatches()) == 0 {
			s.Queue.seen.clear()
		}
		s.flushAt = now.Add(s.Settings.Flush)
	}
	s.sayDropped()
	barred := s.retryAt
	if isAsked {
		barred = s.barredUntil
	}
	if !s.Settings.IsSending || now.Before(barred) {
		return
	}
	for {
		left := s.Queue.counts()
		for ctx.Err() == nil && s.queueNext(&left) {
			if !s.send(ctx, s.waitingBatches()[0]) {
				return
			}
		}
		if !isAsked || s.Queue.size() == 0 || ctx.Err() != nil {
			return
		}
	}
}

func (s *Sender) sayDropped() {
	if dropped := s.Queue.Dropped(); dropped != s.droppedSaid {
		s.Voice.Warn("%d events found no room and were dropped", dropped-s.droppedSaid)
		s.droppedSaid = dropped
	}
}

// queueNext makes the next batch of the events that were queued, by kind, where none waits; false where there is none.
func (s *Sender) queueNext(left *[kinds]int) bool {
	if len(s.waitingBatches()) > 0 {
		return true
	}
	for kind := range kinds {
		// The hook may drop all of a thousand, and more may wait behind them.
		for left[kind] > 0 {
			events, count := s.Queue.take(kind, min(left[kind], mostEventsInRequest))
			left[kind] -= max(1, count)
			if len(events) > 0 {
				s.mutex.Lock()
				s.waiting = append(s.waiting, batch{kind, events, NewID()})
				s.mutex.Unlock()
				return true
			}
		}
	}
	return false
}

// send sends the first batch; true where it is finished: accepted, refused for good, or halved.
func (s *Sender) send(ctx context.Context, first batch) bool {
	body := append([]byte(`{"events":[`), bytes.Join(rawOf(first.events), []byte{','})...)
	body = append(body, "]}"...)
	response, err := s.Events.post(ctx, "events/"+first.kind.String(), body, s.within(), first.id)
	if err != nil {
		s.noteFailure(err.Error(), 0)
		return false
	}
	size := len(first.events)
	refused, isReceipt := receiptOf(response)
	reason := ""
	if problems := transport.Problems(response.Body); len(problems) > 0 {
		reason = transport.Short(fmt.Sprintf(" (%s: %s)", problems[0].Code, problems[0].Detail), 500)
	}
	switch status := response.Status; {
	case isReceipt:
		s.noteAccepted(size, refused)
	case status == http.StatusRequestEntityTooLarge && size > 1:
		s.finish(func(*Counts) []batch {
			return []batch{
				{first.kind, first.events[:size/2], NewID()}, {first.kind, first.events[size/2:], NewID()},
			}
		})
	case isRefusedForGood(status):
		s.finish(func(counts *Counts) []batch { counts.Lost += size; return nil })
		s.Voice.Warn("the server refused %d events with %d%s: they are dropped", size, status, reason)
	default:
		without := ""
		if status < 300 {
			without = " without a receipt"
		}
		text := fmt.Sprintf("the server answered %d%s to events%s", status, without, reason)
		s.noteFailure(text, transport.RetryAfter(response.Header))
		return false
	}
	return true
}

func rawOf(events []json.RawMessage) [][]byte {
	found := make([][]byte, len(events))
	for i, one := range events {
		found[i] = one
	}
	return found
}

// finish puts others in place of the first batch, and counts, at once.
func (s *Sender) finish(count func(*Counts) []batch) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.waiting = append(count(&s.counts), s.waiting[1:]...)
}

func (s *Sender) noteAccepted(size int, refused []string) {
	if len(refused) > 0 {
		s.Voice.Warn("the server rejected %d of %d events, such as: %s", len(refused), size, refused[0])
	}
	s.backoff.Reset()
	s.retryAt = time.Now()
	s.barredUntil = s.retryAt
	s.finish(func(counts *Counts) []batch {
		counts.Failure = ""
		counts.Rejected += len(refused)
		counts.Sent += size - len(refused)
		return nil
	})
}

func (s *Sender) noteFailure(text string, wanted time.Duration) {
	text = s.Voice.Hidden(text)
	s.mutex.Lock()
	isNew := s.counts.Failure != text
	s.counts.Failure = text
	s.mutex.Unlock()
	if isNew {
		s.Voice.Warn("events could not be sent: %s; %d wait", text, s.Counts().Pending)
	}
	pause := s.backoff.Next()
	if s.backoff.Failures >= manyFailures {
		pause = max(pause, longPause)
	}
	now := time.Now()
	if wanted > 0 {
		s.barredUntil = now.Add(wanted)
	}
	s.retryAt = now.Add(max(pause, wanted))
}

// Close is the end of what Run does, for a client where it does not run: it sends what is left, and says goodbye.
func (s *Sender) Close(ctx context.Context) {
	closeBy, _ := s.end()
	for s.Settings.IsSending && s.Counts().Pending > 0 && time.Now().Before(closeBy) && ctx.Err() == nil {
		s.retryAt = time.Now()
		s.flush(ctx, true)
		if counts := s.Counts(); counts.Failure != "" && counts.Pending > 0 {
			s.Pauses.Wait(ctx, min(retryWithin, time.Until(closeBy)))
		}
	}
	if pending := s.Counts().Pending; pending > 0 && s.Settings.IsSending {
		s.mutex.Lock()
		s.counts.Lost += pending
		s.mutex.Unlock()
		s.Voice.Warn("closed with %d events that could not be sent", pending)
	}
	s.summaries.sumUp(true)
	s.summaries.send(ctx, s.Events, s.within())
	s.Keeper.Save(ctx, true)
	// Nobody needs to wait for this instance any more, where the server has heard of it.
	if s.ackedVersion >= 0 {
		goodbye := acknowledgement{
			Instance: s.Instance, SDK: s.SDK, Version: s.Configuration.Version(), Goodbye: true,
		}
		s.isSaid(ctx, goodbye, min(goodbyeWithin, max(100*time.Millisecond, time.Until(closeBy))))
	}
}
