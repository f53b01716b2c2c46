package main

import (
	"net/http/httptest"
	"strings"
	"testing"

	"openflagship/flagtest"
)

func TestShop_ShowsWhatTheFlagSays_AndCountsPurchases(t *testing.T) {
	client := flagtest.Offline(t, nil)
	flagtest.Override(t, client, "new-checkout", flagtest.For("alice", true))
	recorder := flagtest.Record(t, client)
	shop := Shop(client)
	for user, expected := range map[string]string{"alice": "the new checkout", "bob": "the old checkout"} {
		answer := httptest.NewRecorder()
		shop.ServeHTTP(answer, httptest.NewRequest("GET", "/checkout?user="+user, nil))
		if strings.TrimSpace(answer.Body.String()) != expected {
			t.Errorf("%s: %s", user, answer.Body)
		}
	}
	shop.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/purchase?user=alice", nil))
	if events := recorder.Events(); len(events) != 1 || events[0].UserID != "alice" || *events[0].Details.Value != 9.5 {
		t.Errorf("%+v", events)
	}
}
