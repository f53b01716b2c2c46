package openflagship_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"openflagship"
)

const (
	conversions = "/api/events/conversion"
	usage       = "/api/events/usage"
)

// byHand: nothing is sent by itself.
var byHand = openflagship.Options{FlushInterval: time.Hour, FlushCount: 100_000, FirstPause: time.Millisecond}

func flushed(client *openflagship.Client) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return client.Flush(ctx)
}

func TestEvents_OfABodyThatIsTooLarge_AreSentInHalves(t *testing.T) {
	server := newPlatform(t, flag("asked", everybody))
	server.answer = func(one post) (int, string) {
		if len(one.events) > 3 {
			return http.StatusRequestEntityTooLarge, ""
		}
		return http.StatusAccepted, fmt.Sprintf(`{"accepted":%d}`, len(one.events))
	}
	client := server.client(t, byHand)
	for number := range 10 {
		client.Track("purchase", openflagship.User{ID: fmt.Sprint(number)}, openflagship.TrackDetails{})
	}
	if err := flushed(client); err != nil {
		t.Fatal(err)
	}
	users, ids := map[any]bool{}, map[string]bool{}
	for _, one := range server.posted(conversions) {
		ids[one.id] = true
		for _, event := range one.events {
			if len(one.events) <= 3 {
				users[event.(map[string]any)["userId"]] = true
			}
		}
	}
	if len(users) != 10 || len(ids) != len(server.posted(conversions)) || client.Status().EventsSent != 10 {
		t.Errorf("%d users, %d ids, %+v", len(users), len(ids), client.Status())
	}
}

func TestEvents_WithoutAReceipt_AreNotTakenForSent(t *testing.T) {
	server := newPlatform(t, flag("asked", everybody))
	var isLogin atomic.Bool
	server.answer = func(post) (int, string) {
		if isLogin.Swap(false) {
			return http.StatusOK, "<html>Sign in</html>"
		}
		return http.StatusAccepted, `{"accepted":1}`
	}
	client := server.client(t, openflagship.Options{
		FlushInterval: time.Hour, FlushCount: 100_000, FirstPause: time.Millisecond, UsageInterval: time.Hour,
	})
	until(t, "the version is acknowledged", func() bool { return len(server.posted("/api/stream/ack")) > 0 })
	isLogin.Store(true)
	client.Track("purchase", alice, openflagship.TrackDetails{})
	if err := flushed(client); err == nil || !strings.Contains(err.Error(), "without a receipt") {
		t.Error(err)
	}
	until(t, "it is sent again", func() bool { return client.Status().EventsSent == 1 })
}

func TestEvents_AsTheyAreAtTheCall_AreSent(t *testing.T) {
	server := newPlatform(t, flag("asked", everybody))
	secret := "pepper"
	client := server.client(t, openflagship.Options{
		FlushInterval: time.Hour, FlushCount: 100_000, HashKey: &secret,
		BeforeSend: func(event openflagship.Event) openflagship.Event {
			if event["eventName"] == "secret" {
				return nil
			}
			return event
		},
	})
	properties := map[string]any{"currency": "EUR"}
	client.Track("purchase", alice, openflagship.TrackDetails{Properties: properties})
	properties["currency"] = "changed"
	client.Track("secret", alice, openflagship.TrackDetails{})
	client.Track("bad", alice, openflagship.TrackDetails{Properties: map[string]any{"a": "\x00"}})
	client.Track("bad", alice, openflagship.TrackDetails{Properties: map[string]any{"a": make(chan int)}})
	client.Track("bad", openflagship.User{}, openflagship.TrackDetails{})
	if err := flushed(client); err != nil {
		t.Fatal(err)
	}
	events := server.posted(conversions)[0].events
	if len(events) != 1 {
		t.Fatalf("%v", events)
	}
	event := events[0].(map[string]any)
	if event["properties"].(map[string]any)["currency"] != "EUR" || len(event["userId"].(string)) != 64 {
		t.Errorf("%v", event)
	}
}

func TestUsage_IsSummedUpByFlagVariantAndReason(t *testing.T) {
	server := newPlatform(t, flag("asked", everybody))
	client := server.client(t, openflagship.Options{UsageInterval: 10 * time.Millisecond})
	for range 5 {
		client.IsEnabled("asked", alice)
	}
	client.IsEnabled("asked", openflagship.User{})
	client.IsEnabled("unknown", alice)
	client.StringValue("asked", alice, "")
	counts := map[string]float64{}
	until(t, "all is summed up", func() bool {
		counts = map[string]float64{}
		for _, one := range server.posted(usage) {
			for _, row := range one.body["flags"].([]any) {
				row := row.(map[string]any)
				counts[fmt.Sprint(row["flagKey"], row["variant"], row["reason"], row["errorCode"])] += row["count"].(float64)
			}
			for _, row := range one.body["unknownFlags"].([]any) {
				counts[row.(map[string]any)["flagKey"].(string)] += row.(map[string]any)["count"].(float64)
			}
		}
		return len(counts) == 4
	})
	expected := map[string]float64{
		"askedtreatmentROLLOUT<nil>": 5, "askedcontrolDEFAULT<nil>": 1, "unknown": 1, "asked<nil>ERRORTYPE_MISMATCH": 1,
	}
	for key, count := range expected {
		if counts[key] != count {
			t.Errorf("%s: %v, expected %v", key, counts[key], count)
		}
	}
}
