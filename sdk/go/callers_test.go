package openflagship_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"openflagship"
	"openflagship/engine"
)

// returns fails the test where the call does not come back, in as long as a busy machine may take.
func returns(t *testing.T, what string, call func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		call()
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s does not return", what)
	}
}

func jsonFlag(key, value string) string {
	return fmt.Sprintf(
		`{"key":%q,"type":"json","enabled":true,"variants":[{"key":"control","value":{}},{"key":"treatment","value":%s}],`+
			`"defaultVariant":"control","allocation":[[0,10000,"treatment"]]}`, key, value)
}

type limits struct {
	N     int
	S, Z  string
	Parts map[string]int
	own   int
}

// optional reads null itself.
type optional struct{ isNull bool }

func (o *optional) UnmarshalJSON(text []byte) error {
	o.isNull = string(text) == "null"
	return nil
}

// bursting is a type whose decoder has a bug.
type bursting struct{ A int }

func (*bursting) UnmarshalJSON([]byte) error { panic("a bug of the decoder") }

func TestJSONInto_AValueThatDoesNotFit_LeavesTheTargetAndIsNoExposure(t *testing.T) {
	server := newPlatform(t, jsonFlag("limits", `{"n":1,"s":5,"z":"zz","parts":{"a":1}}`), jsonFlag("none", "null"))
	client := server.client(t, byHand)
	shared := map[string]int{"kept": 1}
	full := limits{N: 42, S: "keep", Z: "keep", Parts: shared, own: 7}
	target := full
	var nothing *limits
	for name, given := range map[string]any{
		"another type": &target, "no pointer": target, "nil": nil, "nil pointer": nothing, "a bug": &bursting{},
	} {
		var told []string
		end := client.AddHook(openflagship.Hook{
			After: func(openflagship.Question, openflagship.Answer) { told = append(told, "after") },
			Error: func(_ openflagship.Question, a openflagship.Answer) { told = append(told, string(a.ErrorCode)) },
		})
		answer := client.JSONInto("limits", alice, given)
		end()
		expected := engine.TypeMismatch
		if name == "a bug" {
			expected = engine.General
		}
		if answer.ErrorCode != expected || answer.Detail == "" || answer.Value != nil {
			t.Errorf("%s: %+v", name, answer)
		}
		if name != "a bug" && !reflect.DeepEqual(told, []string{"TYPE_MISMATCH"}) {
			t.Errorf("%s: hooks are told %v", name, told)
		}
		if !reflect.DeepEqual(target, full) || len(shared) != 1 {
			t.Errorf("%s: the target is %+v", name, target)
		}
	}
	if pending := client.Status().EventsPending; pending != 0 {
		t.Errorf("%d exposures of a value that nobody was served", pending)
	}
	// A null is a value like others, so it is an exposure.
	if answer := client.JSONInto("none", alice, &target); answer.Variant != "treatment" || !reflect.DeepEqual(target, full) {
		t.Errorf("%+v %+v", answer, target)
	}
	if pending := client.Status().EventsPending; pending != 1 {
		t.Errorf("%d exposures", pending)
	}
}

func TestJSONInto_AValueThatFits_ReplacesTheTargetAsAWhole(t *testing.T) {
	client := offline(t, jsonFlag("limits", `{"n":1,"parts":{"a":1}}`), jsonFlag("none", "null"))
	shared := map[string]int{"old": 1}
	target := limits{N: 42, S: "old", Parts: shared}
	if answer := client.JSONInto("limits", alice, &target); answer.ErrorCode != "" {
		t.Errorf("%+v", answer)
	}
	if expected := (limits{N: 1, Parts: map[string]int{"a": 1}}); !reflect.DeepEqual(target, expected) || len(shared) != 1 {
		t.Errorf("%+v, and what it shared with others is %v", target, shared)
	}
	full, own, bare := &limits{N: 1}, optional{}, any("old")
	client.JSONInto("none", alice, &full)
	client.JSONInto("none", alice, &own)
	client.JSONInto("none", alice, &bare)
	if full != nil || !own.isNull || bare != nil {
		t.Errorf("null is read as %v, %v and %v", full, own, bare)
	}
}

func TestHooks_AreToldTheCallersDefault(t *testing.T) {
	client := offline(t)
	var told []any
	client.AddHook(openflagship.Hook{
		Error: func(q openflagship.Question, a openflagship.Answer) { told = append(told, q.Otherwise, a.Value) },
	})
	client.BoolValue("unknown", alice, true)
	client.StringValue("unknown", alice, "text")
	client.NumberValue("unknown", alice, 7)
	if expected := []any{true, true, "text", "text", 7.0, 7.0}; !reflect.DeepEqual(told, expected) {
		t.Errorf("%v", told)
	}
	told = nil
	if answers := client.All(alice, "unknown"); len(told) != 0 || answers["unknown"].ErrorCode != engine.FlagNotFound {
		t.Errorf("%v %v", told, answers)
	}
}

func TestListener_ThatHangs_KeepsNoAnswerFromBecomingStale(t *testing.T) {
	server := newPlatform(t, flag("asked", everybody))
	client := server.client(t, openflagship.Options{StaleAfter: 200 * time.Millisecond, CloseWait: time.Millisecond})
	hold, isHeld := make(chan struct{}), make(chan struct{}, 10)
	defer close(hold)
	wait := func() {
		isHeld <- struct{}{}
		<-hold
	}
	client.OnChange(func(openflagship.Change) { wait() })
	client.OnConnection(func(string) { wait() })
	until(t, "the stream is open", func() bool { return client.Status().Connection == "streaming" })
	server.say(update(2, flag("asked", everybody)))
	<-isHeld
	until(t, "the answers are stale", func() bool { return client.Detail("asked", alice, nil).Stale })
	returns(t, "Close", func() { _ = client.Close(context.Background()) })
}

func TestClient_ThatIsClosed_BecomesStaleAfterItsLimit(t *testing.T) {
	for _, mode := range []openflagship.Mode{openflagship.Stream, openflagship.Poll, openflagship.OnDemand} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			server := newPlatform(t, flag("asked", everybody))
			client := server.client(t, openflagship.Options{Mode: mode, StaleAfter: time.Second})
			told := make(chan openflagship.Change, 10)
			if err := client.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			client.OnChange(func(change openflagship.Change) { told <- change })
			until(t, "the answers are stale", func() bool { return client.BoolDetail("asked", alice, false).Stale })
			if status := client.Status(); !status.IsStale || status.Connection != "closed" {
				t.Errorf("%+v", status)
			}
			if answer := client.All(alice)["asked"]; !answer.Stale || answer.Value != true {
				t.Errorf("%+v", answer)
			}
			if len(told) != 0 {
				t.Error("a listener is called after the end")
			}
		})
	}
}

func TestStatus_OfAClosedClient_BecomesStaleToo(t *testing.T) {
	server := newPlatform(t, flag("asked", everybody))
	client := server.client(t, openflagship.Options{StaleAfter: time.Second})
	if err := client.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	until(t, "it is stale", func() bool { return client.Status().IsStale })
}

func TestOnDemand_WithoutAUsableServer_AnswersBecomeStale(t *testing.T) {
	server := newPlatform(t, flag("asked", everybody))
	client := server.client(t, openflagship.Options{
		Mode: openflagship.OnDemand, PollInterval: time.Millisecond, StaleAfter: 500 * time.Millisecond,
		FirstPause: time.Millisecond, MostPause: time.Millisecond,
	})
	server.mutex.Lock()
	server.snapshot = []byte("no snapshot")
	server.mutex.Unlock()
	until(t, "the answers are stale", func() bool { return client.BoolDetail("asked", alice, false).Stale })
}

func TestOnDemand_AFlushThatHangs_HoldsUpNeitherAnotherNorClose(t *testing.T) {
	server := newPlatform(t, flag("asked", everybody))
	hold, isAsked := make(chan struct{}), make(chan struct{}, 10)
	defer close(hold)
	server.answer = func(post) (int, string) {
		isAsked <- struct{}{}
		<-hold
		return http.StatusServiceUnavailable, ""
	}
	client := server.client(t, openflagship.Options{Mode: openflagship.OnDemand, CloseWait: time.Millisecond})
	client.Track("purchase", alice, openflagship.TrackDetails{})
	first := make(chan error)
	go func() { first <- client.Flush(context.Background()) }()
	<-isAsked
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	returns(t, "Flush", func() {
		if err := client.Flush(ended); err == nil {
			t.Error("it claims that nothing waits")
		}
	})
	returns(t, "Close", func() {
		if err := client.Close(context.Background()); err == nil {
			t.Error("it claims that all was sent")
		}
	})
	returns(t, "the first Flush", func() { <-first })
}

func TestBeforeSend_ThatHangs_HoldsUpNoCaller(t *testing.T) {
	for _, mode := range []openflagship.Mode{openflagship.Stream, openflagship.OnDemand} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			hold := make(chan struct{})
			defer close(hold)
			server := newPlatform(t, flag("asked", everybody))
			client := server.client(t, openflagship.Options{
				Mode: mode, FlushInterval: time.Hour, CloseWait: time.Millisecond,
				BeforeSend: func(openflagship.Event) openflagship.Event { <-hold; return nil },
			})
			client.Track("purchase", alice, openflagship.TrackDetails{})
			ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
			defer cancel()
			returns(t, "Flush", func() { _ = client.Flush(ctx) })
			returns(t, "Close", func() { _ = client.Close(context.Background()) })
		})
	}
}

func TestClient_WithoutContexts_WaitsAsLongAsItsOwnLimits(t *testing.T) {
	server := newPlatform(t, flag("asked", everybody))
	client := server.client(t, openflagship.Options{Mode: openflagship.OnDemand})
	var none context.Context
	if source := client.Ready(none); source != openflagship.FromNetwork {
		t.Error(source)
	}
	for name, call := range map[string]func(context.Context) error{"Refresh": client.Refresh, "Flush": client.Flush} {
		if err := call(none); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for range 2 {
		if err := client.Close(none); err != nil {
			t.Error(err)
		}
	}
	if client.Refresh(none) == nil || client.Flush(none) == nil || client.Ready(none) != openflagship.FromNetwork {
		t.Error("a closed client claims to ask")
	}
}

func TestClose_ManyAtOnce_EndOnce(t *testing.T) {
	server := newPlatform(t, flag("asked", everybody))
	client := server.client(t, byHand)
	client.Track("purchase", alice, openflagship.TrackDetails{})
	ends := make(chan error)
	for range 8 {
		go func() { ends <- client.Close(context.Background()) }()
	}
	for range 8 {
		if err := <-ends; err != nil {
			t.Error(err)
		}
	}
	if posts := server.posted(conversions); len(posts) != 1 || client.Status().EventsSent != 1 {
		t.Errorf("%v %+v", posts, client.Status())
	}
}

func TestValues_OddOnes_AreDroppedOrTaken(t *testing.T) {
	server := newPlatform(t, flag("asked", everybody))
	client := server.client(t, byHand)
	huge := openflagship.User{ID: strings.Repeat("x", 1<<20)}
	cyclic := map[string]any{}
	cyclic["self"] = cyclic
	client.IsEnabled("", alice)
	client.IsEnabled("\x00\xff", openflagship.User{ID: "\xff"})
	client.Track("purchase", huge, openflagship.TrackDetails{})
	client.Track("", alice, openflagship.TrackDetails{})
	client.Track("purchase", alice, openflagship.TrackDetails{Properties: cyclic})
	client.Track("purchase", alice, openflagship.TrackDetails{Properties: map[string]any{"n": json.Number("x")}})
	if pending := client.Status().EventsPending; pending != 0 {
		t.Errorf("%d wait", pending)
	}
	client.TrackExposure("asked", alice)
	client.TrackMetric("latency", alice, openflagship.TrackDetails{Value: openflagship.Value(0)})
	if err := flushed(client); err != nil || client.Status().EventsSent != 2 {
		t.Errorf("%v %+v", err, client.Status())
	}
}
