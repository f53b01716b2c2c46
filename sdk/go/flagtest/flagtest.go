// Package flagtest is for the tests of services: fixed answers for flags and users, and a recorder of what was asked
// and tracked.
//
//	client := flagtest.Offline(t, map[string]any{"limit": 10})
//	flagtest.Override(t, client, "limit", flagtest.For("alice", 100))
package flagtest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"openflagship"
	"openflagship/engine"
)

// Offline is a client without a server, closed at the test's end. flags has everybody's values by key.
func Offline(t testing.TB, flags map[string]any) *openflagship.Client {
	t.Helper()
	client, err := openflagship.New("", "http://offline.invalid", openflagship.Options{
		Mode: openflagship.Offline, Logger: slog.New(slog.NewTextHandler(discard{}, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close(context.Background()) })
	for key, value := range flags {
		Override(t, client, key, Fixed{Value: value})
	}
	return client
}

type discard struct{}

func (discard) Write(text []byte) (int, error) { return len(text), nil }

// Fixed is a variant or a value, for everybody or for one user.
type Fixed struct {
	// Variant goes before Value.
	Variant string
	Value   any
	// UserID is for whom; nil for everybody.
	UserID *string
}

// For is a value for one user.
func For(userID string, value any) Fixed { return Fixed{Value: value, UserID: &userID} }

// Override gives every user, or only one, this variant of the flag, or this value, until the test ends or what is
// returned is called. It sends no exposure. The last one that was begun counts.
func Override(t testing.TB, client *openflagship.Client, key string, fixed Fixed) (end func()) {
	t.Helper()
	value, err := valueOf(client, key, fixed)
	if err != nil {
		t.Fatal(err)
	}
	decision := &engine.Decision{
		FlagKey: key, Type: typeOf(value), Variant: fixed.Variant, Value: value, Reason: engine.TargetMatch,
		Detail: "override", OpenFeatureReason: "TARGETING_MATCH",
	}
	end = client.Rigging().Override(fixed.UserID, decision)
	t.Cleanup(end)
	return end
}

// A flag that is not made yet has its usual variants.
var usual = map[string]any{"control": false, "off": false, "treatment": true, "on": true}

func valueOf(client *openflagship.Client, key string, fixed Fixed) (any, error) {
	if fixed.Variant == "" {
		return plain(fixed.Value)
	}
	environment := client.Environment()
	if value, isThere := environment.ValueOf(key, fixed.Variant); isThere {
		return value, nil
	}
	if environment.TypeOf(key) != "" {
		return nil, fmt.Errorf("%s has no variant %q", key, fixed.Variant)
	}
	if value, isUsual := usual[fixed.Variant]; isUsual {
		return value, nil
	}
	return fixed.Variant, nil
}

// plain is the value as JSON has it, and as the flag's own would be.
func plain(value any) (found any, err error) {
	text, err := json.Marshal(value)
	if err == nil {
		err = json.Unmarshal(text, &found)
	}
	return found, err
}

func typeOf(value any) engine.FlagType {
	switch value.(type) {
	case bool:
		return engine.Boolean
	case string:
		return engine.String
	case float64:
		return engine.Number
	default:
		return engine.JSON
	}
}

// Exposure is a flag's answer that a user was shown.
type Exposure struct {
	FlagKey, UserID, Variant string
	Value                    any
}

// Event is a conversion or a metric's value.
type Event struct {
	Name, UserID string
	Details      openflagship.TrackDetails
}

// Recorder notes what happens until its test ends.
type Recorder struct {
	mutex     sync.Mutex
	exposures []Exposure
	events    []Event
}

// Record notes every answer that is given and every event that is taken, in their order.
func Record(t testing.TB, client *openflagship.Client) *Recorder {
	t.Helper()
	r := &Recorder{}
	t.Cleanup(client.AddHook(openflagship.Hook{
		After: func(question openflagship.Question, answer openflagship.Answer) {
			r.mutex.Lock()
			defer r.mutex.Unlock()
			shown := Exposure{question.FlagKey, question.UserID, answer.Variant, answer.Value}
			r.exposures = append(r.exposures, shown)
		},
	}))
	t.Cleanup(client.Rigging().Tap(func(name, userID string, details openflagship.TrackDetails) {
		r.mutex.Lock()
		defer r.mutex.Unlock()
		r.events = append(r.events, Event{name, userID, details})
	}))
	return r
}

// Exposures are the answers that were given.
func (r *Recorder) Exposures() []Exposure {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return append([]Exposure(nil), r.exposures...)
}

// Events are those that were taken.
func (r *Recorder) Events() []Event {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return append([]Event(nil), r.events...)
}

// Ready waits until the client has a configuration, and ends the test where it has none within that time.
func Ready(t testing.TB, client *openflagship.Client, within time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if client.Ready(ctx) == openflagship.FromNothing {
		t.Fatalf("no configuration within %s: %s", within, client.Status().Error)
	}
}
