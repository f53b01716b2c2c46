package openflagship_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"openflagship"
	"openflagship/engine"
	"openflagship/flagtest"
)

var (
	everybody = `,"allocation":[[0,10000,"treatment"]]`
	alice     = openflagship.User{ID: "alice"}
)

func offline(t *testing.T, flags ...string) *openflagship.Client {
	t.Helper()
	client, err := openflagship.New("", "http://offline.invalid", openflagship.Options{
		Mode: openflagship.Offline, Bootstrap: snapshot(1, flags...), Logger: quiet(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestClient_AChangeOnTheStream_IsServed(t *testing.T) {
	server := newPlatform(t, flag("asked", everybody))
	client := server.client(t, openflagship.Options{})
	changed := make(chan openflagship.Change, 10)
	client.OnChange(func(change openflagship.Change) { changed <- change })
	until(t, "the stream is open", func() bool { return client.Status().Connection == "streaming" })
	server.say(update(2, flag("asked", `,"killSwitchVariant":"control"`)))
	if change := <-changed; len(change.Keys) != 1 || change.Keys[0] != "asked" {
		t.Errorf("%+v", change)
	}
	if detail := client.BoolDetail("asked", alice, true); detail.Value || detail.Reason != engine.KillSwitch {
		t.Errorf("%+v", detail)
	}
}

func TestClient_Evaluations_WhileTheConfigurationChanges_AreWhole(t *testing.T) {
	server := newPlatform(t, flag("asked", everybody))
	client := server.client(t, openflagship.Options{UsageInterval: time.Millisecond, FlushInterval: time.Millisecond})
	until(t, "the stream is open", func() bool { return client.Status().Connection == "streaming" })
	var asking sync.WaitGroup
	stop := make(chan struct{})
	for worker := range 4 {
		asking.Add(1)
		go func() {
			defer asking.Done()
			for number := 0; ; number++ {
				select {
				case <-stop:
					return
				default:
				}
				user := openflagship.User{ID: fmt.Sprintf("user-%d-%d", worker, number%50)}
				if detail := client.BoolDetail("asked", user, false); detail.ErrorCode != "" {
					t.Errorf("%+v", detail)
					return
				}
				client.All(user)
				client.Track("purchase", user, openflagship.TrackDetails{Value: openflagship.Value(1)})
				client.Status()
			}
		}()
	}
	for version := 2; version <= 60; version++ {
		server.say(update(version, flag("asked", everybody)))
	}
	until(t, "the last change is applied", func() bool { return client.Status().ConfigVersion == 60 })
	until(t, "somebody has asked", func() bool { now := client.Status(); return now.EventsPending+now.EventsSent > 0 })
	close(stop)
	asking.Wait()
	if err := client.Close(context.Background()); err != nil {
		t.Error(err)
	}
	status := client.Status()
	if status.EventsPending != 0 || status.EventsSent == 0 || status.Connection != "closed" {
		t.Errorf("%+v", status)
	}
}

func TestClient_Evaluation_AllocatesNothing(t *testing.T) {
	client := offline(t, flag("asked", everybody))
	user := openflagship.User{ID: "alice", Attributes: map[string]any{"country": "DE"}}
	// So often that what the client's own start allocates meanwhile is nothing beside it.
	const runs = 10_000
	if count := testing.AllocsPerRun(runs, func() { client.BoolValue("asked", user, false) }); count != 0 {
		t.Errorf("%v allocations", count)
	}
	server := newPlatform(t, flag("asked", everybody))
	client = server.client(t, openflagship.Options{})
	client.BoolValue("asked", user, false)
	if count := testing.AllocsPerRun(runs, func() { client.BoolValue("asked", user, false) }); count > 0.5 {
		t.Errorf("%v allocations while an exposure is repeated", count)
	}
}

func TestClient_TypedGetters_GiveTheDefaultForAnotherType(t *testing.T) {
	limits := `{"key":"limits","type":"json","enabled":true,"variants":[{"key":"a","value":{"most":[1,2]}},{"key":"b","value":{}}]}`
	client := offline(t, flag("asked", everybody), limits)
	if !client.IsEnabled("asked", alice) || client.StringValue("asked", alice, "none") != "none" {
		t.Error("a boolean flag is no boolean, or a string")
	}
	if detail := client.NumberDetail("asked", alice, 7); detail.Value != 7 || detail.ErrorCode != engine.TypeMismatch {
		t.Errorf("%+v", detail)
	}
	if detail := client.NumberDetail("unknown", alice, 7); detail.Value != 7 || detail.ErrorCode != engine.FlagNotFound {
		t.Errorf("%+v", detail)
	}
	var into struct{ Most []int }
	if answer := client.JSONInto("limits", alice, &into); answer.Variant != "a" || len(into.Most) != 2 {
		t.Errorf("%+v %+v", answer, into)
	}
	var wrong struct{ Most string }
	if answer := client.JSONInto("limits", alice, &wrong); answer.ErrorCode != engine.TypeMismatch {
		t.Errorf("%+v", answer)
	}
	client.JSONValue("limits", alice, nil).(map[string]any)["most"] = "changed"
	if found := client.JSONValue("limits", alice, nil).(map[string]any)["most"]; found == "changed" {
		t.Error("a caller changed the configuration")
	}
}

func TestNew_OfWhatCannotWork_IsRefusedByName(t *testing.T) {
	empty := " "
	for expected, options := range map[string]openflagship.Options{
		"Mode":          {Mode: "sometimes"},
		"PollInterval":  {PollInterval: -1},
		"MostPause":     {MostPause: time.Millisecond},
		"SigningSecret": {SigningSecret: &empty},
		"HashKey":       {HashKey: &empty},
		"CAFile":        {CAFile: "/nowhere"},
		"proxy":         {Proxy: "http://"},
		"proxy: give":   {Proxy: "ftp://user:password@proxy.example.com"},
		"StaleAfter":    {StaleAfter: math.MaxInt64},
		"Bootstrap":     {Bootstrap: []byte(`{"contract":9}`)},
		"StreamURL":     {StreamURL: "ftp://flags"},
		"MostEvents":    {MostEvents: -1},
	} {
		if _, err := openflagship.New(serverKey, "https://flags.example.com", options); err == nil ||
			!strings.Contains(err.Error(), expected) || strings.Contains(err.Error(), "password") {
			t.Errorf("%v, expected %s", err, expected)
		}
	}
	for _, key := range []string{"", "fs_client_secret", "fs_manage_secret", "fs_sign_secret", "fs_server_\x00secret"} {
		if _, err := openflagship.New(key, "https://flags.example.com", openflagship.Options{}); err == nil ||
			strings.Contains(strings.ReplaceAll(err.Error(), "signing secret", ""), "_secret") {
			t.Errorf("%q: %v", key, err)
		}
	}
	if _, err := openflagship.New(serverKey, "user:password@flags", openflagship.Options{}); err == nil ||
		strings.Contains(err.Error(), "password") {
		t.Error(err)
	}
}

// hanging is a store that answers nothing, whatever its context says, until the test ends.
type hanging struct{ end chan struct{} }

func (h hanging) Load(context.Context) (*openflagship.Kept, error)    { <-h.end; return nil, nil }
func (h hanging) Save(context.Context, string, int64) (failure error) { <-h.end; return nil }

func TestStore_ThatHangs_HoldsNothingUp(t *testing.T) {
	for _, mode := range []openflagship.Mode{openflagship.Stream, openflagship.OnDemand} {
		t.Run(string(mode), func(t *testing.T) {
			store := hanging{make(chan struct{})}
			server := newPlatform(t, flag("asked", everybody))
			client := server.client(t, openflagship.Options{Mode: mode, Store: store, ConnectTimeout: time.Second})
			for number := range 2 {
				client.Track("purchase", alice, openflagship.TrackDetails{})
				if err := client.Flush(context.Background()); err != nil {
					t.Errorf("%d: %v", number, err)
				}
			}
			if status := client.Status(); status.EventsSent != 2 {
				t.Errorf("%+v", status)
			}
			close(store.end)
		})
	}
}

// asking is a logger that asks the client for its state, as one may that adds it to each line.
type asking struct {
	slog.Handler
	client chan *openflagship.Client
	told   chan string
}

func (a *asking) Handle(_ context.Context, record slog.Record) error {
	client := <-a.client
	a.told <- fmt.Sprint(record.Message, client.Status().IsStale)
	return nil
}

func TestLogger_ThatAsksTheClient_IsAnswered(t *testing.T) {
	logger := &asking{slog.NewTextHandler(io.Discard, nil), make(chan *openflagship.Client, 1), make(chan string, 1)}
	server := newPlatform(t, flag("asked", everybody))
	client := server.client(t, openflagship.Options{StaleAfter: time.Second, Logger: slog.New(logger)})
	logger.client <- client
	select {
	case said := <-logger.told:
		if !strings.HasSuffix(said, "true") {
			t.Error(said)
		}
	case <-time.After(30 * time.Second):
		t.Error("it waits for the client, which waits for it")
	}
}

func TestHooks_AreCalledAround_AndAPanicChangesNothing(t *testing.T) {
	rule := `,"rules":[{"id":"r","priority":1,"variant":"treatment","conditions":[{"attribute":"plan","operator":"equals","value":"pro"}]}]`
	client := offline(t, flag("asked", rule))
	var told []string
	end := client.AddHook(openflagship.Hook{
		Before:  func(openflagship.Question) map[string]any { return map[string]any{"plan": "pro"} },
		After:   func(_ openflagship.Question, a openflagship.Answer) { told = append(told, "after "+a.Variant) },
		Error:   func(_ openflagship.Question, a openflagship.Answer) { told = append(told, string(a.ErrorCode)) },
		Finally: func(openflagship.Question, openflagship.Answer) { panic("a bug of the hook") },
	})
	if !client.IsEnabled("asked", alice) {
		t.Error("an added attribute does not count")
	}
	client.IsEnabled("unknown", alice)
	end()
	if client.IsEnabled("asked", alice) || strings.Join(told, ",") != "after treatment,FLAG_NOT_FOUND" {
		t.Error(told)
	}
}

func TestAttribute_ThatCannotBeRead_IsWarnedAboutOnce(t *testing.T) {
	var said bytes.Buffer
	rule := `,"rules":[{"id":"r","priority":1,"variant":"treatment","conditions":[{"attribute":"plan","operator":"equals","value":"pro"}]}]`
	client, err := openflagship.New("", "http://offline.invalid", openflagship.Options{
		Mode: openflagship.Offline, Bootstrap: snapshot(1, flag("asked", rule)),
		Logger: slog.New(slog.NewTextHandler(&said, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		client.IsEnabled("asked", openflagship.User{ID: "alice", Attributes: map[string]any{"plan": struct{}{}}})
	}
	if count := strings.Count(said.String(), "cannot be compared (struct {})"); count != 1 {
		t.Errorf("%d warnings: %s", count, said.String())
	}
}

func TestFlagtest_FixesAnswersAndRecords(t *testing.T) {
	client := flagtest.Offline(t, map[string]any{"limit": 10, "asked": true})
	recorder := flagtest.Record(t, client)
	end := flagtest.Override(t, client, "limit", flagtest.For("alice", 100))
	flagtest.Override(t, client, "new-checkout", flagtest.Fixed{Variant: "treatment"})
	bob := openflagship.User{ID: "bob"}
	found := []float64{client.NumberValue("limit", alice, 0), client.NumberValue("limit", bob, 0)}
	if found[0] != 100 || found[1] != 10 || !client.IsEnabled("new-checkout", bob) || !client.IsEnabled("asked", bob) {
		t.Error(found)
	}
	end()
	if value := client.NumberValue("limit", alice, 0); value != 10 {
		t.Error(value)
	}
	if detail := client.StringDetail("limit", alice, "none"); detail.ErrorCode != engine.TypeMismatch {
		t.Errorf("%+v", detail)
	}
	if shown := recorder.Exposures(); len(shown) != 5 || shown[2].Variant != "treatment" {
		t.Errorf("%+v", shown)
	}
}
