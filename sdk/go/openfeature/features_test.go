package openfeature_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cucumber/godog"
	"github.com/open-feature/go-sdk/openfeature"
)

// The provider caches nothing. A flag that is off serves its off variant, and the specification's the caller's default.
const doesNotApply = "~@reason-codes-cached && ~@reason-codes-disabled"

// The features in the Python SDK's tests are ours. OPENFEATURE_FEATURES names specification/assets/gherkin in a checkout
// of github.com/open-feature/spec, whose evaluation, hook, context and metadata features then run too.
func TestFeatures(t *testing.T) {
	paths := []string{"../../python/tests/features"}
	if folder := os.Getenv("OPENFEATURE_FEATURES"); folder != "" {
		for _, name := range []string{"evaluation_v2", "hooks", "contextMerging", "metadata"} {
			paths = append(paths, filepath.Join(folder, name+".feature"))
		}
	}
	number := 0
	suite := godog.TestSuite{
		ScenarioInitializer: func(s *godog.ScenarioContext) {
			number++
			// OpenFeature remembers the state of a domain's last provider.
			w := &world{t: t, domain: fmt.Sprintf("features-%d", number)}
			w.steps(s)
			s.After(func(ctx context.Context, _ *godog.Scenario, _ error) (context.Context, error) {
				w.end()
				return ctx, nil
			})
		},
		Options: &godog.Options{Format: "progress", NoColors: true, Tags: doesNotApply, Paths: paths, Strict: true, Output: os.Stdout},
	}
	if suite.Run() != 0 {
		t.Fatal("a feature fails")
	}
}

func (w *world) steps(s *godog.ScenarioContext) {
	s.Step(`^a stable provider$`, w.stable)
	s.Step(`^a provider is registered$`, w.stable)
	s.Step(`^a stable provider with retrievable context is registered$`, w.stable)
	s.Step(`^a not ready provider$`, w.notReady)
	s.Step(`^a error provider$`, w.failing)
	s.Step(`^a fatal provider$`, w.fatal)
	s.Step(`^a stale provider$`, w.stale)
	s.Step(`^the provider status should be "([^"]*)"$`, w.statusIs)
	s.Step(`^an? (\w+)-flag with key "([^"]*)" and a (?:default|fallback) value "(.*)"$`, w.flag)
	s.Step(`^a context containing a key "([^"]*)", with type "([^"]*)" and with value "(.*)"$`, w.attribute)
	s.Step(`^a context containing a key "([^"]*)" with null value$`, w.nullAttribute)
	s.Step(`^the flag was evaluated with details$`, w.evaluate)
	s.Step(`^Some flag was evaluated$`, w.evaluateSome)
	s.Step(`^the flag was evaluated with details asynchronously$`, w.evaluateElsewhere)
	s.Step(`^the flag was evaluated with details using the evaluation options$`, w.evaluateWithOptions)
	s.Step(`^the resolved details value should be "(.*)"$`, w.valueIs)
	s.Step(`^the reason should be "([^"]*)"$`, func(text string) error { return same(string(w.details.Reason), text) })
	s.Step(`^the error-code should be "([^"]*)"$`, func(text string) error {
		return same(string(w.details.ErrorCode), text)
	})
	s.Step(`^the error message should contain "([^"]*)"$`, func(text string) error {
		return holds(strings.Contains(w.details.ErrorMessage, text), w.details.ErrorMessage)
	})
	s.Step(`^the flag key should be "([^"]*)"$`, func(text string) error { return same(w.details.FlagKey, text) })
	s.Step(`^the variant should be "([^"]*)"$`, func(text string) error { return same(w.details.Variant, text) })
	s.Step(`^the resolved metadata should contain$`, w.metadataHas)
	s.Step(`^the resolved metadata is empty$`, w.metadataIsEmpty)
	s.Step(`^a client with added hook$`, func() { w.client.AddHooks(w.hook) })
	s.Step(`^the "([^"]*)" hook should have been executed$`, func(stage string) error {
		return holds(slices.Contains(w.hook.calls, stage), w.hook.calls)
	})
	s.Step(`^the "([^"]*)" hooks should be called with evaluation details$`, w.hookDetails)
	s.Step(`^evaluation options containing specific hooks$`, func() {
		first, second := &hook{name: "first "}, &hook{name: "second "}
		first.onto, second.onto = w.hook, w.hook
		w.options = []openfeature.Option{openfeature.WithHooks(first, second)}
	})
	s.Step(`^the specified hooks should execute during evaluation$`, func() error { return same(len(w.hook.calls), 6) })
	s.Step(`^the hook order should be maintained$`, func() error {
		// OpenFeature's client for Go calls the hooks of one question in one order at every stage.
		order := "first before,second before,first after,second after,first finally,second finally"
		return same(strings.Join(w.hook.calls, ","), order)
	})
	s.Step(`^an evaluation context with modifiable data$`, func() { w.attributes = modifiable() })
	s.Step(`^the original evaluation context should remain unmodified$`, func() error {
		return same(w.attributes, modifiable())
	})
	s.Step(`^the evaluation details should be immutable$`, w.isImmutable)
	s.Step(`^the evaluation should complete without blocking$`, func() error { return same(w.details.FlagKey, w.key) })
	s.Step(`^the result should be equivalent to synchronous evaluation$`, w.isImmutable)
	s.Step(`^A context entry with key "([^"]*)" and value "([^"]*)" is added to the "([^"]*)" level$`, w.entry)
	s.Step(`^A table with levels of increasing precedence$`, func(table *godog.Table) {
		for _, row := range table.Rows {
			w.levels = append(w.levels, row.Cells[0].Value)
		}
	})
	s.Step(`^Context entries for each level from API level down to the "([^"]*)" level, with key "([^"]*)" and value "([^"]*)"$`,
		w.entries)
	s.Step(`^The merged context contains an entry with key "([^"]*)" and value "([^"]*)"$`, func(key, value string) error {
		return same(w.provider.given[key], any(value))
	})
}

func modifiable() map[string]any {
	return map[string]any{"list": []any{"one"}, "object": map[string]any{"key": "value"}}
}

func same[Value any](found, expected Value) error {
	return holds(reflect.DeepEqual(found, expected), fmt.Sprintf("%v, expected %v", found, expected))
}

func holds(isSo bool, found any) error {
	if isSo {
		return nil
	}
	return fmt.Errorf("found %v", found)
}

// read is the features' way to write a value.
func read(kind, text string) (value any, err error) {
	text = strings.ReplaceAll(text, `\"`, `"`)
	kind = strings.ToLower(kind)
	switch {
	case kind != "object" && (text == "null" || text == "None"):
		return nil, nil
	case kind == "string":
		return text, nil
	case kind == "integer":
		return strconv.ParseInt(text, 10, 64)
	case kind == "float" || kind == "double":
		return strconv.ParseFloat(text, 64)
	}
	return value, json.Unmarshal([]byte(text), &value)
}

func (w *world) flag(kind, key, otherwise string) (err error) {
	w.kind, w.key = strings.ToLower(kind), key
	w.otherwise, err = read(kind, otherwise)
	return err
}

func (w *world) attribute(key, kind, text string) (err error) {
	w.attributes[key], err = read(kind, text)
	return err
}

func (w *world) nullAttribute(key string) { w.attributes[key] = nil }

func (w *world) valueIs(text string) error {
	expected, err := read(w.kind, text)
	if err != nil {
		return err
	}
	return same(w.details.Value, expected)
}

func (w *world) metadataHas(table *godog.Table) error {
	for _, row := range table.Rows[1:] {
		expected, err := read(row.Cells[1].Value, row.Cells[2].Value)
		if err != nil {
			return err
		}
		found := w.details.FlagMetadata[row.Cells[0].Value]
		// A snapshot's numbers are JSON's.
		if whole, isWhole := expected.(int64); isWhole {
			expected = float64(whole)
		}
		if err := same(found, expected); err != nil {
			return err
		}
	}
	return nil
}

// metadataIsEmpty: of the flag's own there is none; where the answer comes from is told with every answer.
func (w *world) metadataIsEmpty() error {
	for key := range w.details.FlagMetadata {
		if key != "configVersion" && key != "ruleId" && key != "experiment" {
			return fmt.Errorf("found %s", key)
		}
	}
	return nil
}

func (w *world) hookDetails(stages string, table *godog.Table) error {
	for _, stage := range strings.Split(stages, ", ") {
		details, isSeen := w.hook.details[stage]
		if !isSeen {
			return fmt.Errorf("%s was not called", stage)
		}
		for _, row := range table.Rows[1:] {
			expected, err := read(row.Cells[0].Value, row.Cells[2].Value)
			if err != nil {
				return err
			}
			var found any
			switch row.Cells[1].Value {
			case "flag_key":
				found = details.FlagKey
			case "value":
				found = details.Value
			case "variant":
				found = details.Variant
			case "reason":
				found = string(details.Reason)
			case "error_code":
				found = string(details.ErrorCode)
			}
			if expected == nil {
				expected = ""
			}
			if err := same(found, expected); err != nil {
				return fmt.Errorf("%s of %s: %w", row.Cells[1].Value, stage, err)
			}
		}
	}
	return nil
}

// isImmutable: what counts is that nobody else's answer changes.
func (w *world) isImmutable() error {
	kept := w.details
	if members, isObject := w.details.Value.(map[string]any); isObject {
		members["changed"] = true
	}
	if err := w.evaluate(); err != nil {
		return err
	}
	if kept.Variant != w.details.Variant || kept.Reason != w.details.Reason {
		return fmt.Errorf("%+v, before %+v", w.details, kept)
	}
	return nil
}

func (w *world) entry(key, value, level string) error {
	added := map[string]any{key: value}
	switch level {
	case "API":
		w.api[key] = value
		openfeature.SetEvaluationContext(openfeature.NewEvaluationContext("", w.api))
	case "Transaction":
		w.transaction[key] = value
	case "Client":
		attributes := w.client.EvaluationContext().Attributes()
		attributes[key] = value
		w.client.SetEvaluationContext(openfeature.NewEvaluationContext("", attributes))
	case "Before Hooks":
		w.client.AddHooks(&hook{adds: added})
	case "Invocation":
		w.attributes[key] = value
	default:
		return fmt.Errorf("no such level: %s", level)
	}
	return nil
}

func (w *world) entries(last, key, value string) error {
	for _, level := range w.levels[:slices.Index(w.levels, last)+1] {
		given := value
		if level != last {
			given = "overwritten " + level
		}
		if err := w.entry(key, given, level); err != nil {
			return err
		}
	}
	return nil
}
