package sending

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"openflagship/engine"
	"openflagship/internal/logs"
	"openflagship/internal/settings"
)

// Kind is what the routes of events are called.
type Kind int

// The kinds of events.
const (
	Exposure Kind = iota
	Conversion
	Metric
	kinds
)

func (k Kind) String() string { return [kinds]string{"exposure", "conversion", "metrics"}[k] }

// Details is what a conversion or a metric's value has besides its name and user.
type Details struct {
	Value      *float64
	Properties map[string]any
}

const (
	mostNameCharacters = 200
	mostUnitCharacters = 1024
	// Of waiting events. An exposure counts as much as it takes besides its unit.
	mostBytes      = 16_000_000
	exposureBytes  = 300
	mostBatchBytes = 4_000_000
	source         = "sdk-go"
	instant        = "2006-01-02T15:04:05.000Z"
)

// waiting is an event as it was at the call. rest has a conversion's further members, as JSON.
type waiting struct {
	unit     string
	at       time.Time
	decision *engine.Decision
	version  int64
	rest     []byte
}

func (w *waiting) size() int {
	if w.decision != nil {
		return len(w.unit) + exposureBytes
	}
	return len(w.unit) + len(w.rest)
}

// Queue has the waiting exposures, conversions and metric values: bounded, without repeats, encoded at the call.
type Queue struct {
	settings *settings.Settings
	voice    *logs.Voice
	wake     func()
	seen     *seen
	isOn     atomic.Bool
	isClosed atomic.Bool
	dropped  atomic.Int64

	mutex   sync.Mutex
	events  [kinds][]waiting
	bytes   int
	isWoken bool
}

// NewQueue is an empty one. wake is called when a batch is full.
func NewQueue(s *settings.Settings, voice *logs.Voice, wake func()) *Queue {
	q := &Queue{settings: s, voice: voice, wake: wake, seen: newSeen(s.MostEvents)}
	q.isOn.Store(s.IsSending && s.Mode != settings.Offline)
	return q
}

// End takes no more events: nobody sends them any longer.
func (q *Queue) End() {
	q.isOn.Store(false)
	q.isClosed.Store(true)
}

// Dropped is how many events found no room.
func (q *Queue) Dropped() int64 { return q.dropped.Load() }

func (q *Queue) size() int {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	return q.count()
}

func (q *Queue) count() int {
	size := 0
	for _, events := range q.events {
		size += len(events)
	}
	return size
}

// counts is how many wait, by kind.
func (q *Queue) counts() [kinds]int {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	var found [kinds]int
	for kind, events := range q.events {
		found[kind] = len(events)
	}
	return found
}

// Expose queues an exposure, unless the unit has seen the variant within the window. A repeat takes no lock.
func (q *Queue) Expose(outcome *engine.Outcome) {
	if !q.isOn.Load() {
		q.refuseLate()
		return
	}
	slot, isNew := q.seen.add(markOf(outcome.Decision, outcome.Unit, outcome.Version()))
	if !isNew {
		return
	}
	one := waiting{unit: outcome.Unit, at: time.Now(), decision: outcome.Decision, version: outcome.Version()}
	// One that is dropped is not remembered as sent.
	if !q.put(Exposure, one) && slot != nil {
		slot.Store(givenBack)
	}
}

func (q *Queue) refuseLate() {
	if q.isClosed.Load() {
		q.voice.WarnOnce("closed", "the client is closed: exposures and events are no longer recorded")
	}
}

// Track queues a conversion, or a metric's value, as it is now. It fails for what the server would refuse.
func (q *Queue) Track(kind Kind, name, unit string, details Details) error {
	switch {
	case name == "" || utf8.RuneCountInString(name) > mostNameCharacters:
		return fmt.Errorf("an event's name has 1 to %d characters", mostNameCharacters)
	case unit == "" || utf8.RuneCountInString(unit) > mostUnitCharacters:
		return fmt.Errorf("a user id has 1 to %d characters", mostUnitCharacters)
	case !isReadable(unit) || !isReadable(name):
		return errors.New("a user id and an event's name hold no U+0000, and are UTF-8")
	case details.Value != nil && (math.IsNaN(*details.Value) || math.IsInf(*details.Value, 0)):
		return errors.New("an event's value is a finite number")
	}
	members := map[string]any{}
	if kind == Metric {
		members["metricKey"] = name
	} else {
		members["eventName"] = name
	}
	if details.Value != nil {
		members["value"] = *details.Value
	}
	if len(details.Properties) > 0 {
		members["properties"] = details.Properties
	}
	rest, err := written(members)
	if err != nil {
		return err
	}
	if !q.isOn.Load() {
		q.refuseLate()
		return nil
	}
	q.put(kind, waiting{unit: unit, at: time.Now(), rest: rest})
	return nil
}

func isReadable(text string) bool {
	return utf8.ValidString(text) && !strings.Contains(text, "\x00")
}

func (q *Queue) put(kind Kind, one waiting) bool {
	q.mutex.Lock()
	if len(q.events[kind]) >= q.settings.MostEvents || q.bytes+one.size() > mostBytes {
		q.mutex.Unlock()
		q.dropped.Add(1)
		return false
	}
	q.events[kind] = append(q.events[kind], one)
	q.bytes += one.size()
	isFull := !q.isWoken && q.count() >= q.settings.FlushCount
	q.isWoken = q.isWoken || isFull
	q.mutex.Unlock()
	if isFull {
		q.wake()
	}
	return true
}

// take is the first events, at most so many and so large, in the API's form, after BeforeSend and hashing. count says
// how many were taken; BeforeSend may have dropped some of them.
func (q *Queue) take(kind Kind, most int) (events []json.RawMessage, count int) {
	q.mutex.Lock()
	q.isWoken = false
	size := 0
	for count < min(most, len(q.events[kind])) {
		next := q.events[kind][count].size()
		if count > 0 && size+next > mostBatchBytes {
			break
		}
		size += next
		count++
	}
	found := q.events[kind][:count]
	q.events[kind] = q.events[kind][count:]
	if len(q.events[kind]) == 0 {
		// Nothing may be appended behind what was taken.
		q.events[kind] = nil
	}
	q.bytes -= size
	q.mutex.Unlock()
	// Within one window as many units may pass as there are; a repeat costs less than a full table.
	if q.seen.marks.Load() > int64(len(q.seen.slots)/2) {
		q.seen.clear()
	}
	for i := range found {
		if body := q.body(kind, &found[i]); body != nil {
			events = append(events, body)
		}
	}
	return events, count
}

// exposureBody is an exposure as the API takes it.
type exposureBody struct {
	EvaluationID  string `json:"evaluationId"`
	UserID        string `json:"userId"`
	Timestamp     string `json:"timestamp"`
	FlagKey       string `json:"flagKey"`
	Variant       string `json:"variant"`
	Source        string `json:"source"`
	Reason        string `json:"reason"`
	ConfigVersion int64  `json:"configVersion"`
	RuleID        string `json:"ruleId,omitempty"`
	Experiment    string `json:"experiment,omitempty"`
}

type eventBody struct {
	ID        string `json:"id"`
	UserID    string `json:"userId"`
	Timestamp string `json:"timestamp"`
}

// body is the event as it is sent; nil for one that BeforeSend drops.
func (q *Queue) body(kind Kind, one *waiting) json.RawMessage {
	id, at, unit := uuid7(one.at), one.at.UTC().Format(instant), q.unit(one.unit)
	var body []byte
	var err error
	if kind == Exposure {
		body, err = json.Marshal(exposureBody{
			id, unit, at, one.decision.FlagKey, one.decision.Variant, source, string(one.decision.Reason), one.version,
			one.decision.RuleID, one.decision.Experiment,
		})
	} else if body, err = json.Marshal(eventBody{id, unit, at}); err == nil {
		body = append(append(body[:len(body)-1], ','), one.rest[1:]...)
	}
	if err == nil && q.settings.BeforeSend != nil {
		body, err = q.shown(body)
	}
	if err != nil {
		// It may hold secrets, which the hook was to take out.
		q.voice.Warn("an event is not sent: %v", err)
		return nil
	}
	return body
}

// shown is what BeforeSend makes of an event.
func (q *Queue) shown(body []byte) (changed []byte, err error) {
	defer func() {
		if problem := recover(); problem != nil {
			changed, err = nil, fmt.Errorf("BeforeSend failed: %v", problem)
		}
	}()
	var event map[string]any
	if err := json.Unmarshal(body, &event); err != nil {
		return nil, err
	}
	if event = q.settings.BeforeSend(event); event == nil {
		return nil, nil
	}
	return written(event)
}

func (q *Queue) unit(unit string) string {
	if q.settings.HashKey == "" {
		return unit
	}
	code := hmac.New(sha256.New, []byte(q.settings.HashKey))
	code.Write([]byte(unit))
	return hex.EncodeToString(code.Sum(nil))
}

// written is JSON of the members. It fails for what JSON or the server cannot take.
func written(members map[string]any) ([]byte, error) {
	text, err := json.Marshal(members)
	if err != nil {
		return nil, fmt.Errorf("it holds what JSON cannot say: %w", err)
	}
	if hasEscape(string(text), "u0000") || hasEscape(string(text), "ufffd") {
		return nil, errors.New("it holds U+0000, or text that is no UTF-8, which no server takes")
	}
	return text, nil
}

// hasEscape says whether a JSON text has this escape. What is no UTF-8 is written as one.
func hasEscape(text, escape string) bool {
	for at := strings.IndexByte(text, '\\'); at >= 0; at = strings.IndexByte(text, '\\') {
		if strings.HasPrefix(text[at+1:], escape) {
			return true
		}
		text = text[min(len(text), at+2):]
	}
	return false
}
