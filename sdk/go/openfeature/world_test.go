package openfeature_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-feature/go-sdk/openfeature"

	"openflagship"
	provider "openflagship/openfeature"
)

// Nobody listens there.
const nowhere = "http://127.0.0.1:9"

// noting is our provider, which remembers the context that it was asked with.
type noting struct {
	*provider.Provider
	given openfeature.FlattenedContext
}

func (n *noting) StringEvaluation(
	ctx context.Context, key, otherwise string, given openfeature.FlattenedContext,
) openfeature.StringResolutionDetail {
	n.given = given
	return n.Provider.StringEvaluation(ctx, key, otherwise, given)
}

// hook notes its calls, onto another one where that is said.
type hook struct {
	openfeature.UnimplementedHook
	name    string
	calls   []string
	onto    *hook
	details map[string]openfeature.InterfaceEvaluationDetails
	adds    map[string]any
}

func (h *hook) note(stage string) {
	if h.onto != nil {
		h.onto.calls = append(h.onto.calls, h.name+stage)
		return
	}
	h.calls = append(h.calls, h.name+stage)
}

func (h *hook) noteDetails(stage string, details openfeature.InterfaceEvaluationDetails) {
	h.note(stage)
	if h.details == nil {
		h.details = map[string]openfeature.InterfaceEvaluationDetails{}
	}
	h.details[stage] = details
}

func (h *hook) Before(
	context.Context, openfeature.HookContext, openfeature.HookHints,
) (*openfeature.EvaluationContext, error) {
	h.note("before")
	if h.adds == nil {
		return nil, nil
	}
	added := openfeature.NewEvaluationContext("", h.adds)
	return &added, nil
}

func (h *hook) After(
	_ context.Context, _ openfeature.HookContext, details openfeature.InterfaceEvaluationDetails, _ openfeature.HookHints,
) error {
	h.noteDetails("after", details)
	return nil
}

func (h *hook) Error(context.Context, openfeature.HookContext, error, openfeature.HookHints) {
	h.note("error")
}

func (h *hook) Finally(
	_ context.Context, _ openfeature.HookContext, details openfeature.InterfaceEvaluationDetails, _ openfeature.HookHints,
) {
	h.noteDetails("finally", details)
}

// world is what the steps of one scenario share.
type world struct {
	t         *testing.T
	domain    string
	ends      []func()
	provider  *noting
	client    *openfeature.Client
	kind, key string
	otherwise any
	details   openfeature.InterfaceEvaluationDetails
	hook      *hook
	options   []openfeature.Option
	levels    []string

	attributes, api, transaction map[string]any
}

func (w *world) end() {
	for _, end := range w.ends {
		end()
	}
	openfeature.SetEvaluationContext(openfeature.NewEvaluationContext("", nil))
}

// document is the specification's flags in the words of a snapshot.
func document() ([]byte, error) {
	text, err := os.ReadFile("../../contract/cases/ofrep/flags.json")
	if err != nil {
		return nil, err
	}
	var file struct{ Flags []json.RawMessage }
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	file.Flags = append(file.Flags, json.RawMessage(`{"key":"context-aware","type":"string","enabled":true,
		"variants":{"internal":"INTERNAL","external":"EXTERNAL"},"defaultVariant":"external","rules":[{"priority":1,
		"conditions":[{"attribute":"customer","operator":"equals","value":false}],"variant":"internal"}]}`))
	flags := map[string]any{}
	for _, raw := range file.Flags {
		flag, err := asFlag(raw)
		if err != nil {
			return nil, err
		}
		flags[flag["key"].(string)] = flag
	}
	return json.Marshal(map[string]any{"contract": 1, "version": 1, "flags": flags})
}

func asFlag(raw json.RawMessage) (map[string]any, error) {
	var flag map[string]any
	var ordered struct{ Variants map[string]any }
	if err := errors.Join(json.Unmarshal(raw, &flag), json.Unmarshal(raw, &ordered)); err != nil {
		return nil, err
	}
	kinds := map[any]string{"integer": "number", "float": "number", "object": "json"}
	if kind, isOther := kinds[flag["type"]]; isOther {
		flag["type"] = kind
	}
	var variants []any
	for key, value := range ordered.Variants {
		variants = append(variants, map[string]any{"key": key, "value": value})
	}
	flag["variants"] = variants
	if flag["offVariant"] == nil {
		flag["offVariant"] = flag["defaultVariant"]
	}
	if rules, hasRules := flag["rules"].([]any); hasRules {
		for i, rule := range rules {
			rule.(map[string]any)["id"] = fmt.Sprintf("rule-%d", i)
		}
	}
	return flag, nil
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func (w *world) register(key, address string, options openflagship.Options, isWaited bool) error {
	options.Logger = quiet()
	client, err := openflagship.New(key, address, options)
	if err != nil {
		return err
	}
	w.provider = &noting{Provider: provider.New(client)}
	w.hook = &hook{}
	w.attributes, w.api, w.transaction = map[string]any{}, map[string]any{}, map[string]any{}
	w.ends = append(w.ends, func() { _ = client.Close(context.Background()) })
	if isWaited {
		// The states of failing ones are what their scenarios are about.
		_ = openfeature.SetNamedProviderAndWait(w.domain, w.provider)
	} else if err := openfeature.SetNamedProvider(w.domain, w.provider); err != nil {
		return err
	}
	w.client = openfeature.NewClient(w.domain)
	return nil
}

func (w *world) stable() error {
	bootstrap, err := document()
	if err != nil {
		return err
	}
	return w.register("", nowhere, openflagship.Options{Mode: openflagship.Offline, Bootstrap: bootstrap}, true)
}

// notReady waits for a platform that does not come for as long as the scenario goes on.
func (w *world) notReady() error {
	brief := openflagship.Options{StartWait: time.Hour, CloseWait: time.Millisecond}
	return w.register("fs_server_test", nowhere, brief, false)
}

func (w *world) failing() error {
	brief := openflagship.Options{StartWait: time.Millisecond, CloseWait: time.Millisecond}
	return w.register("fs_server_test", nowhere, brief, true)
}

func (w *world) fatal() error {
	server := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
		answer.WriteHeader(http.StatusUnauthorized)
	}))
	w.ends = append(w.ends, server.Close)
	return w.register("fs_server_test", server.URL, openflagship.Options{StartWait: time.Minute}, true)
}

func (w *world) stale() error {
	var mutex sync.Mutex
	isAway := false
	server := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		mutex.Lock()
		defer mutex.Unlock()
		if isAway || !strings.HasSuffix(request.URL.Path, "/snapshot") {
			answer.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(answer, `{"contract":1,"version":1,"flags":{}}`)
	}))
	w.ends = append(w.ends, server.Close)
	options := openflagship.Options{StaleAfter: 200 * time.Millisecond, StartWait: time.Minute, CloseWait: time.Millisecond}
	if err := w.register("fs_server_test", server.URL, options, true); err != nil {
		return err
	}
	mutex.Lock()
	isAway = true
	mutex.Unlock()
	return w.statusIs("STALE")
}

// statusIs waits until it is so: OpenFeature hears of events in goroutines of its own.
func (w *world) statusIs(status string) error {
	if status == string(openfeature.NotReadyState) {
		// A domain has the default provider's state until its own has told one.
		w.kind, w.key, w.otherwise = "boolean", "asked", false
		return errors.Join(w.evaluate(), same(w.details.ErrorCode, openfeature.ProviderNotReadyCode))
	}
	for deadline := time.Now().Add(30 * time.Second); string(w.client.State()) != status; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return same(string(w.client.State()), status)
		}
	}
	return nil
}

func (w *world) evaluate() error {
	ctx := context.Background()
	if len(w.transaction) > 0 {
		ctx = openfeature.WithTransactionContext(ctx, openfeature.NewEvaluationContext("", w.transaction))
	}
	given := openfeature.NewEvaluationContext("", w.attributes)
	var err error
	switch w.kind {
	case "boolean":
		details, failure := w.client.BooleanValueDetails(ctx, w.key, w.otherwise.(bool), given, w.options...)
		w.details = openfeature.InterfaceEvaluationDetails{Value: details.Value, EvaluationDetails: details.EvaluationDetails}
		err = failure
	case "string":
		details, failure := w.client.StringValueDetails(ctx, w.key, w.otherwise.(string), given, w.options...)
		w.details = openfeature.InterfaceEvaluationDetails{Value: details.Value, EvaluationDetails: details.EvaluationDetails}
		err = failure
	case "integer":
		details, failure := w.client.IntValueDetails(ctx, w.key, w.otherwise.(int64), given, w.options...)
		w.details = openfeature.InterfaceEvaluationDetails{Value: details.Value, EvaluationDetails: details.EvaluationDetails}
		err = failure
	case "float":
		details, failure := w.client.FloatValueDetails(ctx, w.key, w.otherwise.(float64), given, w.options...)
		w.details = openfeature.InterfaceEvaluationDetails{Value: details.Value, EvaluationDetails: details.EvaluationDetails}
		err = failure
	default:
		w.details, err = w.client.ObjectValueDetails(ctx, w.key, w.otherwise, given, w.options...)
	}
	// Where OpenFeature's client for Go asks nobody, because no provider is ready, its error alone says so.
	switch {
	case errors.Is(err, openfeature.ProviderNotReadyError):
		w.details.ErrorCode, w.details.Reason = openfeature.ProviderNotReadyCode, openfeature.ErrorReason
	case errors.Is(err, openfeature.ProviderFatalError):
		w.details.ErrorCode, w.details.Reason = openfeature.ProviderFatalCode, openfeature.ErrorReason
	}
	return nil
}

func (w *world) evaluateSome() error {
	w.kind, w.key, w.otherwise = "string", "context-aware", "none"
	return w.evaluate()
}

func (w *world) evaluateWithOptions() error { return w.evaluate() }

func (w *world) evaluateElsewhere() error {
	done := make(chan error)
	go func() { done <- w.evaluate() }()
	return <-done
}
