package sending

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"openflagship/internal/logs"
	"openflagship/internal/transport"
)

const (
	mostWaiting  = 10
	summaryAgain = 30 * time.Second
	// The server refuses a summary of more than twice as many as a whole.
	mostRows = 10_000
	// A server without the route is from before it was there; it may be a later release by then.
	withoutRoute = time.Hour
)

func isWithoutRoute(status int) bool {
	return status == http.StatusNotFound || status == http.StatusMethodNotAllowed || status == http.StatusNotImplemented
}

func isRefusedForGood(status int) bool {
	return status == http.StatusBadRequest || status == http.StatusRequestEntityTooLarge ||
		status == http.StatusUnprocessableEntity
}

type payload struct {
	id   string
	body []byte
}

type summary struct {
	Instance            string        `json:"instance"`
	SDK                 string        `json:"sdk"`
	Since               time.Time     `json:"since"`
	Until               time.Time     `json:"until"`
	Flags               []row         `json:"flags"`
	UnknownFlags        []unknownFlag `json:"unknownFlags"`
	UnknownFlagsUnnamed int64         `json:"unknownFlagsUnnamed"`
}

// summaries are the usage summaries on their way out, oldest first, each with its id; apart from the events, which must
// not wait for them. Each stays until there is a receipt.
type summaries struct {
	usage   *Usage
	named   summary
	every   time.Duration
	isOn    bool
	voice   *logs.Voice
	due     time.Time
	retryAt time.Time
	since   time.Time
	waiting []payload
}

func newSummaries(usage *Usage, instance, sdk string, every time.Duration, isOn bool, voice *logs.Voice) *summaries {
	now := time.Now()
	return &summaries{
		usage: usage, named: summary{Instance: instance, SDK: sdk}, every: every, isOn: isOn, voice: voice,
		due: now.Add(every), since: now,
	}
}

// sumUp adds the summary of what was counted since the last one, once it is time. While too many wait, counting goes
// on, into a later summary.
func (s *summaries) sumUp(isLast bool) {
	now := time.Now()
	if now.Before(s.due) && !isLast {
		return
	}
	s.due = now.Add(s.every)
	if len(s.waiting) >= mostWaiting && !isLast {
		return
	}
	found, isAny := s.usage.take()
	part := s.named
	part.Since, part.Until = s.since.UTC().Truncate(time.Millisecond), now.UTC().Truncate(time.Millisecond)
	s.since = now
	if !isAny || !s.isOn {
		return
	}
	part.UnknownFlags, part.UnknownFlagsUnnamed = found.unknown, found.unnamed
	for start := 0; start == 0 || start < len(found.flags); start += mostRows {
		part.Flags = found.flags[start:min(start+mostRows, len(found.flags))]
		if body, err := json.Marshal(part); err == nil {
			s.waiting = append(s.waiting, payload{NewID(), body})
		}
		part.UnknownFlags, part.UnknownFlagsUnnamed = []unknownFlag{}, 0
	}
}

// send sends what waits, one after the other, until one fails.
func (s *summaries) send(ctx context.Context, poster *Poster, within time.Duration) {
	for len(s.waiting) > 0 && !time.Now().Before(s.retryAt) && ctx.Err() == nil {
		response, err := poster.post(ctx, "events/usage", s.waiting[0].body, within, s.waiting[0].id)
		if err != nil {
			s.retryAt = time.Now().Add(summaryAgain)
			return
		}
		s.note(response)
	}
}

func (s *summaries) note(response *transport.Response) {
	_, isReceipt := receiptOf(response)
	switch status := response.Status; {
	case isWithoutRoute(status):
		s.retryAt = time.Now().Add(withoutRoute)
	case isRefusedForGood(status):
		s.voice.Warn("the server refused a usage summary with %d: %s", status, transport.Reason(response.Body))
		s.waiting = s.waiting[1:]
	case isReceipt:
		s.waiting = s.waiting[1:]
	default:
		// As for events: what is no receipt, such as a login page, says nothing of the summary.
		s.retryAt = time.Now().Add(max(summaryAgain, transport.RetryAfter(response.Header)))
	}
}
