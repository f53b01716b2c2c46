package engine

import (
	"encoding/json"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"
)

type plan string

type level uint8

type identity [2]byte

func (identity) MarshalText() ([]byte, error) { return []byte("0f-a1"), nil }

type price struct{}

func (price) Float64() (float64, bool) { return 9.5, true }

func holds(t *testing.T, conditions string, attributes map[string]any) bool {
	t.Helper()
	outcome := asking(t, conditions).Evaluate("asked", User{ID: "user-1", Attributes: attributes})
	if outcome.Decision == nil {
		t.Fatalf("%+v", outcome)
	}
	return outcome.Value == true
}

func TestAttributes_OfGosOwnTypes_AreTakenExactly(t *testing.T) {
	text, missing := "pro", (*string)(nil)
	big60 := new(big.Int).Lsh(big.NewInt(1), 60)
	for name, one := range map[string]struct {
		condition string
		value     any
	}{
		"named text":   {`{"attribute":"a","operator":"equals","value":"pro"}`, plan("pro")},
		"named number": {`{"attribute":"a","operator":"equals","value":7}`, level(7)},
		"pointer":      {`{"attribute":"a","operator":"equals","value":"pro"}`, &text},
		"nil pointer":  {`{"attribute":"a","operator":"not_exists"}`, missing},
		"instant":      {`{"attribute":"a","operator":"after","value":"2025-12-31T23:59:59Z"}`, time.Unix(1767225600, 0)},
		"uuid":         {`{"attribute":"a","operator":"equals","value":"0f-a1"}`, identity{1, 2}},
		"decimal":      {`{"attribute":"a","operator":"greater_than","value":9.4}`, price{}},
		"rational":     {`{"attribute":"a","operator":"equals","value":0.5}`, big.NewRat(1, 2)},
		"big":          {`{"attribute":"a","operator":"equals","value":1152921504606846976}`, big60},
		"json number":  {`{"attribute":"a","operator":"equals","value":3}`, json.Number("3.0")},
		"float32":      {`{"attribute":"a","operator":"equals","value":0.5}`, float32(0.5)},
		"slice":        {`{"attribute":"a","operator":"contains","value":"pro"}`, []plan{"free", "pro"}},
		"array":        {`{"attribute":"a","operator":"in","value":[2]}`, [2]int{1, 2}},
		"no number":    {`{"attribute":"a","operator":"exists"}`, math.NaN()},
	} {
		if !holds(t, "["+one.condition+"]", map[string]any{"a": one.value}) {
			t.Errorf("%s does not hold", name)
		}
	}
}

// broken writes itself as text, and has a bug.
type broken struct{}

func (broken) MarshalText() ([]byte, error) { panic("a bug of the attribute's type") }

type loop *loop

func TestAttributes_WithoutAnEndOrWithABug_MatchNothing(t *testing.T) {
	list := []any{"x", nil}
	list[1] = list
	var itself any
	itself = &itself
	var round loop
	round = &round
	for name, given := range map[string]any{"list": list, "pointer": itself, "named": round, "bug": broken{}, "bug behind": &broken{}} {
		user := map[string]any{"a": given}
		if !holds(t, `[{"attribute":"a","operator":"exists"}]`, user) || holds(t, `[{"attribute":"a","operator":"equals","value":"y"}]`, user) {
			t.Errorf("%s is taken for another value", name)
		}
		if id := UserOf(given, nil).ID; id != "" {
			t.Errorf("%s is the id %q", name, id)
		}
	}
	if !holds(t, `[{"attribute":"a","operator":"contains","value":"x"}]`, map[string]any{"a": list}) {
		t.Error("a list that holds itself holds nothing else")
	}
}

func TestUnits_OfWholeNumbers_AreTheirDecimalText(t *testing.T) {
	environment := environmentWith(t, `,"bucketBy":"id"`)
	for _, one := range []struct {
		given    any
		expected string
	}{
		{42, "42"}, {int64(math.MaxInt64), "9223372036854775807"}, {uint64(math.MaxUint64), "18446744073709551615"},
		{42.0, "42"}, {42.5, ""}, {math.Inf(1), ""}, {1e300, ""}, {true, ""}, {"", ""}, {"a\xff", ""}, {nil, ""},
		{json.Number("7"), "7"}, {new(big.Int).Lsh(big.NewInt(1), 80), "1208925819614629174706176"}, {plan("x"), "x"},
		{identity{}, "0f-a1"}, {[]any{"x"}, ""}, {-3, "-3"},
	} {
		if found := environment.Unit("asked", User{Attributes: map[string]any{"id": one.given}}); found != one.expected {
			t.Errorf("%v: %q, expected %q", one.given, found, one.expected)
		}
		if found := UserOf(one.given, nil).ID; found != one.expected {
			t.Errorf("%v as an id: %q, expected %q", one.given, found, one.expected)
		}
	}
}

func TestAttribute_ThatCannotBeRead_IsToldOfWithItsReaderAndType(t *testing.T) {
	var told []string
	user := User{ID: "user-1", Attributes: map[string]any{"plan": map[string]int{}, "tags": []any{[]any{}}}}
	user = user.Refusing(func(subject, attribute, kind string) {
		told = append(told, subject+" "+attribute+" "+kind)
	})
	conditions := `[{"any":[{"attribute":"plan","operator":"not_equals","value":"free"},` +
		`{"attribute":"tags","operator":"contains","value":"x"},{"attribute":"none","operator":"equals","value":1}]}]`
	if outcome := asking(t, conditions).Evaluate("asked", user); outcome.Value != false {
		t.Errorf("%+v", outcome)
	}
	if all := strings.Join(told, "; "); all != "asked plan map[string]int; asked tags []interface {}, with an element that is none" {
		t.Error(all)
	}
}

func TestPattern_OfAHostileText_TakesLinearTime(t *testing.T) {
	hostile := strings.Repeat("a", 50_000) + "!"
	if holds(t, `[{"attribute":"a","operator":"matches","value":"^(a+)+$"}]`, map[string]any{"a": hostile}) {
		t.Error("it matches")
	}
}

func TestExposures_OfAFlagThatLogsExperimentsAlone_AreTheirs(t *testing.T) {
	split := `,"allocation":[[0,10000,"treatment"]],"exposures":`
	experiment := `,"experiment":{"id":"e","status":"running","layer":{"salt":"s"},"ranges":[[0,10000]],"controlVariant":"control"}`
	for members, expected := range map[string]bool{
		split + `"experiments"`: false, split + `"all"`: true, split + `"experiments"` + experiment: true,
	} {
		if outcome := environmentWith(t, members).Evaluate("asked", User{ID: "user-1"}); outcome.IsLogged != expected {
			t.Errorf("%s: %v", members, outcome.IsLogged)
		}
	}
}
