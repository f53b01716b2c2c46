package openfeature_test

import (
	"context"
	"math"
	"reflect"
	"testing"

	"github.com/open-feature/go-sdk/openfeature"

	"openflagship"
	"openflagship/flagtest"
	provider "openflagship/openfeature"
)

// registered is an OpenFeature client of this client, in a domain of the test's own.
func registered(t *testing.T, client *openflagship.Client) *openfeature.Client {
	t.Helper()
	if err := openfeature.SetNamedProviderAndWait(t.Name(), provider.New(client)); err != nil {
		t.Fatal(err)
	}
	return openfeature.NewClient(t.Name())
}

func TestTrack_IsOfTheUserOfAnEvaluation(t *testing.T) {
	client := flagtest.Offline(t, nil)
	recorder := flagtest.Record(t, client)
	asking := registered(t, client)
	for _, one := range []struct {
		given    openfeature.EvaluationContext
		expected string
	}{
		{openfeature.NewEvaluationContext("key", nil), "key"},
		{openfeature.NewEvaluationContext("key", map[string]any{"userId": "u1"}), "key"},
		{openfeature.NewTargetlessEvaluationContext(map[string]any{"userId": "u1"}), "u1"},
		{openfeature.NewTargetlessEvaluationContext(map[string]any{"userId": 42}), "42"},
		{openfeature.NewTargetlessEvaluationContext(map[string]any{"targetingKey": "in attributes"}), "in attributes"},
		{openfeature.NewTargetlessEvaluationContext(map[string]any{"targetingKey": "", "userId": "u1"}), "u1"},
	} {
		details := openfeature.NewTrackingEventDetails(9.5).Add("currency", "EUR")
		asking.Track(context.Background(), "purchase", one.given, details)
		events := recorder.Events()
		last := events[len(events)-1]
		if last.Name != "purchase" || last.UserID != one.expected || last.Details.Value == nil || *last.Details.Value != 9.5 ||
			!reflect.DeepEqual(last.Details.Properties, map[string]any{"currency": "EUR"}) {
			t.Errorf("%v: %+v", one.given, last)
		}
	}
	told := len(recorder.Events())
	for _, given := range []openfeature.EvaluationContext{
		{}, openfeature.NewTargetlessEvaluationContext(map[string]any{"userId": []string{"u1"}}),
	} {
		asking.Track(context.Background(), "purchase", given, openfeature.NewTrackingEventDetails(1))
	}
	if len(recorder.Events()) != told {
		t.Error("an event of nobody is taken")
	}
}

func TestIntValue_OfANumberThatIsNone_IsTheDefaultAndShownToNobody(t *testing.T) {
	values := map[string]any{
		"whole": 10, "half": 2.5, "too large": 1e300, "one too many": -float64(math.MinInt64), "least": float64(math.MinInt64),
	}
	client := flagtest.Offline(t, values)
	recorder := flagtest.Record(t, client)
	asking := registered(t, client)
	for key, expected := range map[string]int64{
		"whole": 10, "half": 7, "too large": 7, "one too many": 7, "least": math.MinInt64,
	} {
		told := len(recorder.Exposures())
		details, err := asking.IntValueDetails(context.Background(), key, 7, openfeature.NewEvaluationContext("u1", nil))
		isDefault := expected == 7
		if details.Value != expected || isDefault != (details.ErrorCode == openfeature.TypeMismatchCode) || isDefault != (err != nil) {
			t.Errorf("%s: %+v, %v", key, details, err)
		}
		if isShown := len(recorder.Exposures()) > told; isShown == isDefault {
			t.Errorf("%s: shown: %v", key, isShown)
		}
	}
}
