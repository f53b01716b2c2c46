package engine

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// contract reads one of the contract's JSON files, which every language is tested with.
func contract(t testing.TB, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "contract", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

func parsed(t testing.TB, document string) *Environment {
	t.Helper()
	environment, err := Parse([]byte(document), nil)
	if err != nil {
		t.Fatal(err)
	}
	return environment
}

// flagWith is a boolean flag with these further members, as JSON.
func flagWith(members string) string {
	return `{"key":"asked","type":"boolean","enabled":true,"variants":[{"key":"control","value":false},` +
		`{"key":"treatment","value":true}],"defaultVariant":"control","offVariant":"control"` + members + `}`
}

func environmentWith(t testing.TB, members string) *Environment {
	t.Helper()
	return parsed(t, `{"contract":1,"version":1,"flags":{"asked":`+flagWith(members)+`}}`)
}

func asking(t testing.TB, conditions string) *Environment {
	t.Helper()
	rule := `{"id":"rule","priority":1,"variant":"treatment","conditions":` + conditions + `}`
	return environmentWith(t, `,"rules":[`+rule+`]`)
}

func TestVectors(t *testing.T) {
	var vectors []struct {
		Salt, Unit string
		Hash       uint32
		Bucket     int
	}
	contract(t, "vectors/bucketing.json", &vectors)
	if len(vectors) != 200 {
		t.Fatalf("%d vectors", len(vectors))
	}
	for _, one := range vectors {
		hash := newPrefixHash(one.Salt + ":")
		if found, _ := hash.sum(one.Unit); found != one.Hash || Bucket(one.Salt, one.Unit) != one.Bucket {
			t.Errorf("%s:%s: %d, expected %d", one.Salt, one.Unit, found, one.Hash)
		}
	}
}

func TestOperators(t *testing.T) {
	var file struct {
		Cases []struct {
			ID       string
			Context  map[string]any
			Tree     json.RawMessage
			Expected bool
		}
	}
	contract(t, "cases/operators.json", &file)
	if len(file.Cases) < 200 {
		t.Fatalf("%d cases", len(file.Cases))
	}
	for _, one := range file.Cases {
		outcome := asking(t, string(one.Tree)).Evaluate("asked", UserOf(one.Context["userId"], one.Context))
		if outcome.Decision == nil || outcome.Value != one.Expected {
			t.Errorf("%s: %+v, expected %v", one.ID, outcome.Answer(), one.Expected)
		}
	}
}

// wanted is an expected answer, as the contract's files have it.
type wanted struct {
	Variant, RuleID, Experiment, Detail, ErrorCode string
	Reason                                         Reason
	Stale                                          bool
	Unit                                           json.RawMessage
}

func (w wanted) check(t *testing.T, where string, outcome Outcome, unit string) {
	t.Helper()
	answer := outcome.Answer()
	found := wanted{
		answer.Variant, answer.RuleID, answer.Experiment, answer.Detail, string(answer.ErrorCode), answer.Reason,
		answer.Stale, w.Unit,
	}
	if w.ErrorCode != "" {
		// An error's detail is free text.
		found.Detail = w.Detail
	}
	isAlike := found.Variant == w.Variant && found.RuleID == w.RuleID && found.Experiment == w.Experiment &&
		found.Detail == w.Detail && found.ErrorCode == w.ErrorCode && found.Reason == w.Reason && found.Stale == w.Stale
	if !isAlike {
		t.Errorf("%s: %+v, expected %+v", where, found, w)
	}
	if w.Unit != nil {
		var expected string
		if err := json.Unmarshal(w.Unit, &expected); err != nil || unit != expected {
			t.Errorf("%s: the unit is %q, expected %s", where, unit, w.Unit)
		}
	}
}

func TestDocuments(t *testing.T) {
	var file struct {
		Cases []struct {
			Snapshot    json.RawMessage
			Evaluations []struct {
				UserID     any
				Attributes map[string]any
				Answers    map[string]wanted
			}
		}
	}
	contract(t, "cases/evaluations.json", &file)
	count := 0
	for _, one := range file.Cases {
		environment := parsed(t, string(one.Snapshot))
		again, err := Parse(environment.Document(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, evaluation := range one.Evaluations {
			user := UserOf(evaluation.UserID, evaluation.Attributes)
			all := map[string]Answer{}
			again.EvaluateAll(user, nil, func(key string, outcome Outcome) { all[key] = outcome.Answer() })
			for key, expected := range evaluation.Answers {
				outcome := environment.Evaluate(key, user)
				expected.check(t, key, outcome, environment.Unit(key, user))
				if answer := outcome.Answer(); all[key].Variant != answer.Variant || all[key].Reason != answer.Reason {
					t.Errorf("%s of all: %+v, expected %+v", key, all[key], answer)
				}
				count++
			}
		}
	}
	if count != 2880 {
		t.Errorf("%d evaluations", count)
	}
}

type steps []struct {
	Snapshot json.RawMessage
	Change   *struct {
		Version         int64
		Flags, Segments map[string]json.RawMessage
	}
	Asked []struct {
		FlagKey    string
		UserID     any
		Attributes map[string]any
		Expected   wanted
	}
	NotUnderstood *struct{ Flags, Segments []string }
}

func TestSteps(t *testing.T) {
	for _, name := range []string{"rule_trees", "bucket_by", "experiment_split", "not_understood"} {
		var file struct {
			Cases []struct {
				Name  string
				Steps steps
			}
		}
		contract(t, "cases/"+name+".json", &file)
		for _, one := range file.Cases {
			t.Run(name+"/"+one.Name, func(t *testing.T) { one.Steps.take(t) })
		}
	}
}

func (s steps) take(t *testing.T) {
	var environment *Environment
	var err error
	for _, step := range s {
		if step.Snapshot != nil {
			environment, err = Parse(step.Snapshot, environment)
		} else {
			environment, err = environment.Replace(
				step.Change.Version, documents(step.Change.Flags), documents(step.Change.Segments),
			)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, asked := range step.Asked {
			user := UserOf(asked.UserID, asked.Attributes)
			outcome := environment.Evaluate(asked.FlagKey, user)
			asked.Expected.check(t, asked.FlagKey, outcome, environment.Unit(asked.FlagKey, user))
		}
		if step.NotUnderstood != nil {
			flags, segments := environment.NotUnderstood()
			if !slices.Equal(flags, step.NotUnderstood.Flags) || !slices.Equal(segments, step.NotUnderstood.Segments) {
				t.Errorf("not understood: %v %v, expected %+v", flags, segments, step.NotUnderstood)
			}
		}
	}
}

func documents(given map[string]json.RawMessage) Documents {
	found := Documents{}
	for key, raw := range given {
		if string(raw) == "null" {
			raw = nil
		}
		found[key] = raw
	}
	return found
}
