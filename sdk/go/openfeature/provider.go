// Package openfeature has FlagShip's provider for OpenFeature's Go SDK.
//
//	client, err := openflagship.New(key, "https://flags.example.com", openflagship.Options{})
//	…
//	err = openfeature.SetProviderAndWait(provider.New(client))
package openfeature

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/open-feature/go-sdk/openfeature"

	"openflagship"
	"openflagship/engine"
)

const name = "FlagShip"

// Provider answers from a client's memory. Each domain with its own environment needs its own provider. It closes the
// client when it is shut down.
type Provider struct {
	client *openflagship.Client
	events chan openfeature.Event

	mutex sync.Mutex
	ends  []func()
	// Whether OpenFeature knows that there is a configuration; and that the key is refused.
	isAnnounced bool
	isRefused   bool
}

// New is the provider of a client.
func New(client *openflagship.Client) *Provider {
	return &Provider{client: client, events: make(chan openfeature.Event, 100)}
}

// Metadata names the provider.
func (p *Provider) Metadata() openfeature.Metadata { return openfeature.Metadata{Name: name} }

// Hooks has none.
func (p *Provider) Hooks() []openfeature.Hook { return nil }

// EventChannel tells ready, stale, error and configuration changed.
func (p *Provider) EventChannel() <-chan openfeature.Event { return p.events }

// Init waits for a first configuration. It fails where there is none, fatally for a refused key.
func (p *Provider) Init(openfeature.EvaluationContext) error {
	return p.InitWithContext(context.Background(), openfeature.EvaluationContext{})
}

// InitWithContext is like Init, and waits no longer than the context.
func (p *Provider) InitWithContext(ctx context.Context, _ openfeature.EvaluationContext) error {
	p.client.Ready(ctx)
	return p.begin()
}

// begin listens, and says what is so by then. The listeners come first: what changes later is told by them.
func (p *Provider) begin() error {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.ends = append(p.ends, p.client.OnChange(p.changed), p.client.OnConnection(p.connected))
	status := p.client.Status()
	p.isAnnounced = status.Source != openflagship.FromNothing
	p.isRefused = status.Connection == "refused" && !p.isAnnounced
	switch {
	case p.isAnnounced, status.Connection == "offline":
		return nil
	case p.isRefused:
		return &openfeature.ProviderInitError{
			ErrorCode: openfeature.ProviderFatalCode, Message: "FlagShip refuses the key: " + status.Error,
		}
	}
	return &openfeature.ProviderInitError{
		ErrorCode: openfeature.ProviderNotReadyCode, Message: "no configuration was had yet: " + status.Error,
	}
}

// Shutdown closes the client.
func (p *Provider) Shutdown() { _ = p.ShutdownWithContext(context.Background()) }

// ShutdownWithContext closes the client, which sends what waits for as long as the context.
func (p *Provider) ShutdownWithContext(ctx context.Context) error {
	p.mutex.Lock()
	ends := p.ends
	p.ends = nil
	p.mutex.Unlock()
	for _, end := range ends {
		end()
	}
	return p.client.Close(ctx)
}

// BooleanEvaluation is a boolean flag's answer.
func (p *Provider) BooleanEvaluation(
	_ context.Context, key string, otherwise bool, given openfeature.FlattenedContext,
) openfeature.BoolResolutionDetail {
	return resolved(p, engine.Boolean, key, otherwise, given)
}

// StringEvaluation is a string flag's answer.
func (p *Provider) StringEvaluation(
	_ context.Context, key string, otherwise string, given openfeature.FlattenedContext,
) openfeature.StringResolutionDetail {
	return resolved(p, engine.String, key, otherwise, given)
}

// FloatEvaluation is a number flag's answer.
func (p *Provider) FloatEvaluation(
	_ context.Context, key string, otherwise float64, given openfeature.FlattenedContext,
) openfeature.FloatResolutionDetail {
	return resolved(p, engine.Number, key, otherwise, given)
}

// IntEvaluation is a number flag's answer, where that is a whole number.
func (p *Provider) IntEvaluation(
	_ context.Context, key string, otherwise int64, given openfeature.FlattenedContext,
) openfeature.IntResolutionDetail {
	outcome := p.client.Outcome(engine.Number, key, userOf(given), otherwise, isWhole)
	found := openfeature.IntResolutionDetail{Value: otherwise, ProviderResolutionDetail: p.detail(key, &outcome)}
	if outcome.Decision != nil {
		found.Value = int64(outcome.Value.(float64))
	}
	return found
}

// isWhole says what is wrong with a number that no int64 is: the conversion of one too large gives another number.
func isWhole(value any) (problem string) {
	if number, _ := value.(float64); number != math.Trunc(number) || number < math.MinInt64 || number >= -math.MinInt64 {
		return fmt.Sprintf("The flag's value is %v, which is no whole number of 64 bits.", value)
	}
	return ""
}

// ObjectEvaluation is a json flag's answer: a copy of the caller's own.
func (p *Provider) ObjectEvaluation(
	_ context.Context, key string, otherwise any, given openfeature.FlattenedContext,
) openfeature.InterfaceResolutionDetail {
	return resolved(p, engine.JSON, key, otherwise, given)
}

// resolved is the answer of a flag of this kind, whose values are of the type of otherwise.
func resolved[Value any](
	p *Provider, kind engine.FlagType, key string, otherwise Value, given openfeature.FlattenedContext,
) openfeature.GenericResolutionDetail[Value] {
	outcome := p.client.Outcome(kind, key, userOf(given), otherwise, nil)
	found := openfeature.GenericResolutionDetail[Value]{Value: otherwise, ProviderResolutionDetail: p.detail(key, &outcome)}
	if outcome.Decision != nil {
		// JSON's null is no value of any type; its zero value is nil.
		found.Value, _ = openflagship.Copied(outcome.Value).(Value)
	}
	return found
}

// Track records a conversion of the user whom an evaluation with this context is for. The attributes of its details
// become properties.
func (p *Provider) Track(
	_ context.Context, event string, given openfeature.EvaluationContext, details openfeature.TrackingEventDetails,
) {
	value, attributes := details.Value(), given.Attributes()
	if key := given.TargetingKey(); key != "" {
		attributes[openfeature.TargetingKey] = key
	}
	p.client.Track(event, userOf(attributes), openflagship.TrackDetails{Value: &value, Properties: details.Attributes()})
}

func (p *Provider) detail(key string, outcome *engine.Outcome) openfeature.ProviderResolutionDetail {
	answer := outcome.Answer()
	metadata := openfeature.FlagMetadata{"configVersion": answer.ConfigVersion}
	for member, value := range p.client.Environment().Metadata(key) {
		metadata[member] = value
	}
	if answer.RuleID != "" {
		metadata["ruleId"] = answer.RuleID
	}
	if answer.Experiment != "" {
		metadata["experiment"] = answer.Experiment
	}
	found := openfeature.ProviderResolutionDetail{
		Reason: openfeature.Reason(outcome.OpenFeatureReason()), Variant: answer.Variant, FlagMetadata: metadata,
	}
	switch {
	case answer.ErrorCode == "":
	case answer.ErrorCode == engine.FlagNotFound && answer.Detail != "":
		found.ResolutionError = openfeature.NewProviderNotReadyResolutionError(answer.Detail)
	case answer.ErrorCode == engine.FlagNotFound:
		text := fmt.Sprintf("flag %s not found in this environment", key)
		found.ResolutionError = openfeature.NewFlagNotFoundResolutionError(text)
	case answer.ErrorCode == engine.ParseError:
		found.ResolutionError = openfeature.NewParseErrorResolutionError(answer.Detail)
	case answer.ErrorCode == engine.TypeMismatch:
		found.ResolutionError = openfeature.NewTypeMismatchResolutionError(answer.Detail)
	default:
		found.ResolutionError = openfeature.NewGeneralResolutionError(answer.Detail)
	}
	return found
}

// userOf: the targeting key is the user id, where there is one.
func userOf(given openfeature.FlattenedContext) openflagship.User {
	attributes := map[string]any(given)
	if id, isThere := attributes[openfeature.TargetingKey]; isThere && id != "" {
		return openflagship.UserOf(id, attributes)
	}
	return openflagship.UserOf(attributes["userId"], attributes)
}

func (p *Provider) changed(change openflagship.Change) {
	p.mutex.Lock()
	isFirst := !p.isAnnounced
	p.isAnnounced = true
	if isFirst {
		p.isRefused = false
	}
	isRefused := p.isRefused
	p.mutex.Unlock()
	switch {
	case isFirst:
		p.emit(openfeature.ProviderReady, openfeature.ProviderEventDetails{Message: "A first configuration was had."})
	case change.IsAny || len(change.Keys) > 0:
		keys := change.Keys
		if change.IsAny {
			keys = p.client.Environment().Keys()
		}
		slices.Sort(keys)
		p.emit(openfeature.ProviderConfigChange, openfeature.ProviderEventDetails{FlagChanges: keys})
	case !isRefused:
		// Whether it is stale besides is told once the key works again.
		p.tellCurrency("The configuration is current again.")
	}
}

// connected: a key that is refused is fatal, until it works again.
func (p *Provider) connected(connection string) {
	p.mutex.Lock()
	wasRefused := p.isRefused
	switch connection {
	case "refused":
		p.isRefused = true
	case "streaming", "polling":
		p.isRefused = false
	}
	isRefused := p.isRefused
	p.mutex.Unlock()
	switch {
	case isRefused == wasRefused:
	case isRefused:
		p.emit(openfeature.ProviderError, openfeature.ProviderEventDetails{
			Message: "FlagShip refuses the key: " + p.client.Status().Error, ErrorCode: openfeature.ProviderFatalCode,
		})
	default:
		p.tellCurrency("The key works again.")
	}
}

func (p *Provider) tellCurrency(message string) {
	if p.client.Environment().IsStale() {
		details := openfeature.ProviderEventDetails{Message: "The configuration could not be refreshed."}
		p.emit(openfeature.ProviderStale, details)
		return
	}
	p.emit(openfeature.ProviderReady, openfeature.ProviderEventDetails{Message: message})
}

// emit tells OpenFeature. Where nobody listens, the oldest event makes room: the last one says what is so.
func (p *Provider) emit(kind openfeature.EventType, details openfeature.ProviderEventDetails) {
	event := openfeature.Event{ProviderName: name, EventType: kind, ProviderEventDetails: details}
	for {
		select {
		case p.events <- event:
			return
		default:
		}
		select {
		case <-p.events:
		default:
		}
	}
}
