package engine

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// oddTexts are what a reader of JSON gets wrong first.
var oddTexts = []string{
	`{}`, `[]`, ` [1, 2.50, -0, 1e3, 1E-2] `, `"\u00e9\ud83d\ude00\n\/"`, `{"a":{"b":[null,true,false,"x"]},"a":1}`, `01`,
	`1.`, `.5`, `-`, `1e`, `+1`, `"\x"`, `"\u12g4"`, "\"\x01\"", `"abc`, `{"a"}`, `{"a":1,}`, `[1,]`, `[1 2]`, `nul`,
	`truee`, ``, ` `, `{a:1}`, "\xff", `"` + "\xc3" + `"`, `[` + "\u00a0" + `1]`, `"\ud800"`, `1e400`, `[1]]`, "\ufeff{}",
}

func TestJSON_IsReadAsByTheStandardLibrary(t *testing.T) {
	for _, text := range oddTexts {
		checkAlike(t, []byte(text))
	}
}

// checkAlike: what encoding/json takes is taken, with the same value; its two shortcomings aside.
func checkAlike(t *testing.T, text []byte) {
	t.Helper()
	if bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) > mostDepth {
		// The standard library reads deeper.
		return
	}
	found, err := parseJSON(text)
	var expected any
	problem := json.Unmarshal(text, &expected)
	isOutOfRange := problem != nil && json.Valid(text)
	isValid := json.Valid(text) && utf8.Valid(text)
	if isValid != (err == nil) {
		t.Fatalf("%q: %v, the standard library: %v", text, err, problem)
	}
	if err != nil || isOutOfRange || hasHalfAPair(found) {
		return
	}
	if !reflect.DeepEqual(found, expected) {
		t.Fatalf("%q: %v, expected %v", text, found, expected)
	}
}

func hasHalfAPair(value any) bool {
	switch found := value.(type) {
	case string:
		return !utf8.ValidString(found)
	case []any:
		for _, item := range found {
			if hasHalfAPair(item) {
				return true
			}
		}
	case map[string]any:
		for name, member := range found {
			if !utf8.ValidString(name) || hasHalfAPair(member) {
				return true
			}
		}
	}
	return false
}

func TestJSON_OfWhatTheStandardLibraryChanges_StaysWhatItIs(t *testing.T) {
	if found, err := parseJSON([]byte(`"a\ud800b"`)); err != nil || utf8.ValidString(found.(string)) {
		t.Errorf("half a surrogate pair: %q %v", found, err)
	}
	if found, err := parseJSON([]byte(`-1e999`)); err != nil || !math.IsInf(found.(float64), -1) {
		t.Errorf("a number beyond doubles: %v %v", found, err)
	}
	if _, err := parseJSON([]byte(strings.Repeat("[", 5000) + strings.Repeat("]", 5000))); err == nil {
		t.Error("5,000 levels are read")
	}
}

func TestSnapshot_ThatIsNone_IsRefusedWithTheField(t *testing.T) {
	for document, expected := range map[string]string{
		`[]`:                                         "give a snapshot",
		`{"version":1}`:                              "contract",
		`{"contract":2,"version":1}`:                 "contract",
		`{"contract":true,"version":1}`:              "contract",
		`{"contract":1}`:                             "version",
		`{"contract":1,"version":1.5}`:               "version",
		`{"contract":1,"version":"1"}`:               "version",
		`{"contract":1,"version":1,"flags":[]}`:      "flags",
		`{"contract":1,"version":1,"segments":1}`:    "segments",
		`{"contract":1,"version":1,"environment":0}`: "environment",
		`{"contract":1,"version":1`:                  "JSON",
		`{"contract":1,"version":1}}`:                "JSON",
	} {
		if _, err := Parse([]byte(document), nil); err == nil || !strings.Contains(err.Error(), expected) {
			t.Errorf("%s: %v, expected %q", document, err, expected)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range oddTexts {
		f.Add([]byte(text))
	}
	f.Add([]byte(`{"contract":1,"version":1,"environment":{"salt":"s"},"flags":{"asked":` + flagWith(
		`,"rules":[{"id":"r","priority":1,"conditions":[{"attribute":"a","operator":"matches","value":"^x"},`+
			`{"not":{"operator":"in_segment","value":["s"]}}],"allocation":[[0,5000,"control"]]}],`+
			`"prerequisites":[{"flagKey":"other","variants":["on"]}],"bucketBy":["a","userId"],`+
			`"experiment":{"id":"e","status":"running","layer":{"salt":"l"},"ranges":[[0,1]],"controlVariant":"control"}`,
	) + `},"segments":{"s":{"key":"s","included":["u"],"conditions":{"any":[]}}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		checkAlike(t, text)
		environment, err := Parse(text, nil)
		if err != nil {
			return
		}
		user := User{ID: "user-1", Attributes: map[string]any{"a": "x", "b": 1.5, "c": []any{true}}}
		before := map[string]Answer{}
		environment.EvaluateAll(user, nil, func(key string, outcome Outcome) { before[key] = outcome.Answer() })
		again, err := Parse(environment.Document(), environment)
		if err != nil {
			t.Fatalf("its own document is refused: %v", err)
		}
		again.EvaluateAll(user, nil, func(key string, outcome Outcome) {
			if utf8.ValidString(key) && !reflect.DeepEqual(before[key], outcome.Answer()) {
				t.Fatalf("%q: %+v, before %+v", key, outcome.Answer(), before[key])
			}
		})
	})
}
