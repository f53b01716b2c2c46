package openflagship

import (
	"encoding/json"
	"fmt"

	"openflagship/engine"
	"openflagship/internal/sending"
)

// User is whom a flag is asked for: an id, and attributes for conditions. The zero User is nobody in particular.
type User = engine.User

// UserOf is a user whose id has any type: text, or a whole number, which becomes its decimal text.
func UserOf(id any, attributes map[string]any) User { return engine.UserOf(id, attributes) }

// Answer is a value with all that the contract says of it.
type Answer = engine.Answer

// Detail is an answer whose value has the type that was asked for.
type Detail[Value any] struct {
	Value         Value
	Variant       string
	Reason        engine.Reason
	RuleID        string
	Experiment    string
	ErrorCode     engine.ErrorCode
	Detail        string
	ConfigVersion int64
	Stale         bool
}

// IsEnabled says whether a boolean flag is true for this user; false where there is no boolean answer.
func (c *Client) IsEnabled(key string, user User) bool { return c.BoolValue(key, user, false) }

// BoolValue is the value of a boolean flag; otherwise where the flag has another type, or is not there.
func (c *Client) BoolValue(key string, user User, otherwise bool) bool {
	if outcome := c.ask(engine.Boolean, key, user, nil); outcome.Decision != nil {
		return outcome.Value.(bool)
	}
	return otherwise
}

// StringValue is the value of a string flag; otherwise where the flag has another type, or is not there.
func (c *Client) StringValue(key string, user User, otherwise string) string {
	if outcome := c.ask(engine.String, key, user, nil); outcome.Decision != nil {
		return outcome.Value.(string)
	}
	return otherwise
}

// NumberValue is the value of a number flag; otherwise where the flag has another type, or is not there.
func (c *Client) NumberValue(key string, user User, otherwise float64) float64 {
	if outcome := c.ask(engine.Number, key, user, nil); outcome.Decision != nil {
		return outcome.Value.(float64)
	}
	return otherwise
}

// JSONValue is the value of a json flag as encoding/json gives it: a copy of the caller's own.
func (c *Client) JSONValue(key string, user User, otherwise any) any {
	return c.JSONDetail(key, user, otherwise).Value
}

// JSONInto reads the value of a json flag into what target points to. Where there is none, or the value does not fit,
// target stays as it is, and the answer says why.
func (c *Client) JSONInto(key string, user User, target any) Answer {
	outcome := c.ask(engine.JSON, key, user, nil)
	if outcome.Decision != nil {
		text, err := json.Marshal(outcome.Value)
		if err == nil {
			err = json.Unmarshal(text, target)
		}
		if err != nil {
			outcome = engine.Failure(c.Environment(), engine.TypeMismatch, err.Error())
		}
	}
	return answerOf(&outcome, nil)
}

// BoolDetail is like BoolValue, with the reason: ERROR and TYPE_MISMATCH for a flag of another type.
func (c *Client) BoolDetail(key string, user User, otherwise bool) Detail[bool] {
	outcome := c.ask(engine.Boolean, key, user, otherwise)
	return detailOf(&outcome, otherwise)
}

// StringDetail is like StringValue, with the reason.
func (c *Client) StringDetail(key string, user User, otherwise string) Detail[string] {
	outcome := c.ask(engine.String, key, user, otherwise)
	return detailOf(&outcome, otherwise)
}

// NumberDetail is like NumberValue, with the reason.
func (c *Client) NumberDetail(key string, user User, otherwise float64) Detail[float64] {
	outcome := c.ask(engine.Number, key, user, otherwise)
	return detailOf(&outcome, otherwise)
}

// JSONDetail is like JSONValue, with the reason.
func (c *Client) JSONDetail(key string, user User, otherwise any) Detail[any] {
	outcome := c.ask(engine.JSON, key, user, otherwise)
	detail := detailOf(&outcome, otherwise)
	if outcome.Decision != nil {
		detail.Value = Copied(outcome.Value)
	}
	return detail
}

// Detail is the answer of a flag of any type.
func (c *Client) Detail(key string, user User, otherwise any) Answer {
	outcome := c.ask("", key, user, otherwise)
	return answerOf(&outcome, otherwise)
}

// Outcome is what the engine gives, for providers of other interfaces. An empty kind is any type.
func (c *Client) Outcome(kind engine.FlagType, key string, user User, otherwise any) engine.Outcome {
	return c.ask(kind, key, user, otherwise)
}

// All are the answers of all flags, or of the named ones. It records no exposures: no user has seen them yet.
func (c *Client) All(user User, keys ...string) map[string]Answer {
	answers := map[string]Answer{}
	c.voice.Guard("an evaluation failed", func() {
		c.demand.begin()
		more := c.extras.Load()
		c.Environment().EvaluateAll(user.Refusing(c.refused), keys, func(key string, outcome engine.Outcome) {
			if fixed := more.fixed(key, user); fixed != nil {
				outcome = engine.Fixed(c.Environment(), fixed)
			} else if outcome.Decision != nil {
				c.usage.Count(outcome.Decision)
			} else if c.configuration.IsHad() {
				c.usage.CountFailure(key, outcome.ErrorCode())
			}
			answers[key] = answerOf(&outcome, nil)
		})
		if len(keys) == 0 {
			for _, key := range more.keys() {
				if fixed := more.fixed(key, user); fixed != nil {
					outcome := engine.Fixed(c.Environment(), fixed)
					answers[key] = answerOf(&outcome, nil)
				}
			}
		}
	})
	return answers
}

// TrackExposure records that this user was shown what the flag gives them, as after All.
func (c *Client) TrackExposure(key string, user User) { c.ask("", key, user, nil) }

// TrackDetails is what a conversion or a metric's value has besides its name and user. It is written down at the call.
type TrackDetails = sending.Details

// Value is a value for TrackDetails.
func Value(value float64) *float64 { return &value }

// Track records a conversion, which is sent later. One that the server would refuse is warned about and dropped.
func (c *Client) Track(event string, user User, details TrackDetails) {
	c.track(sending.Conversion, event, user, details)
}

// TrackMetric is like Track, under a metric's key in place of an event's name.
func (c *Client) TrackMetric(metric string, user User, details TrackDetails) {
	c.track(sending.Metric, metric, user, details)
}

func (c *Client) track(kind sending.Kind, name string, user User, details TrackDetails) {
	c.voice.Guard("an event is dropped", func() {
		if err := c.queue.Track(kind, name, user.ID, details); err != nil {
			c.voice.Warn("the event %q is dropped: %v", name, err)
			return
		}
		for _, tap := range c.extras.Load().tapped() {
			tap(name, user.ID, details)
		}
	})
}

// ask evaluates. A panic is a bug, or foreign code's; it costs the caller's default.
func (c *Client) ask(kind engine.FlagType, key string, user User, otherwise any) (outcome engine.Outcome) {
	defer func() {
		if problem := recover(); problem != nil {
			c.voice.Warn("an evaluation failed: the default is served: %v", problem)
			outcome = engine.Failure(nil, engine.General, fmt.Sprintf("%T", problem))
		}
	}()
	c.demand.begin()
	user = user.Refusing(c.refused)
	if more := c.extras.Load(); more != nil {
		return c.evaluateAround(more, kind, key, user, otherwise)
	}
	return c.evaluate(kind, key, user)
}

func (c *Client) evaluate(kind engine.FlagType, key string, user User) engine.Outcome {
	outcome := c.configuration.Environment().Evaluate(key, user)
	switch {
	case outcome.Decision == nil:
		if outcome.ErrorCode() == engine.FlagNotFound && !c.configuration.IsHad() {
			return engine.Failure(nil, engine.FlagNotFound, notReady)
		}
		c.usage.CountFailure(key, outcome.ErrorCode())
	case kind != "" && outcome.Type != kind:
		// Nobody sees a variant of another type, so no exposure is recorded for it.
		c.mismatch(&outcome, kind, key)
	default:
		c.usage.Count(outcome.Decision)
		if outcome.IsLogged && outcome.Unit != "" {
			c.queue.Expose(&outcome)
		}
	}
	return outcome
}

// What an answer's detail says while no configuration was had.
const notReady = "not_ready"

func (c *Client) mismatch(outcome *engine.Outcome, kind engine.FlagType, key string) {
	problem := fmt.Sprintf("The flag's type is %s, asked for was %s.", outcome.Type, kind)
	*outcome = engine.Failure(c.Environment(), engine.TypeMismatch, problem)
	c.usage.CountFailure(key, engine.TypeMismatch)
}

// refuse warns of an attribute that no condition can read, once for each flag that asks for it.
func (c *Client) refuse(subject, attribute, kind string) {
	c.voice.WarnOnce(
		subject+" "+attribute,
		"%s: the attribute %q cannot be compared (%s): give text, a number, a boolean, a time or a slice of these",
		subject, attribute, kind,
	)
}

func answerOf(outcome *engine.Outcome, otherwise any) Answer {
	answer := outcome.Answer()
	if outcome.Decision == nil {
		answer.Value = otherwise
	} else if outcome.Type == engine.JSON {
		answer.Value = Copied(answer.Value)
	}
	return answer
}

func detailOf[Value any](outcome *engine.Outcome, otherwise Value) Detail[Value] {
	answer := outcome.Answer()
	value, isOf := answer.Value.(Value)
	if !isOf || outcome.Decision == nil {
		value = otherwise
	}
	return Detail[Value]{
		value, answer.Variant, answer.Reason, answer.RuleID, answer.Experiment, answer.ErrorCode, answer.Detail,
		answer.ConfigVersion, answer.Stale,
	}
}

// Copied is a copy of a JSON value. All evaluations that end alike share the original, which Outcome gives.
func Copied(value any) any {
	switch found := value.(type) {
	case []any:
		items := make([]any, len(found))
		for i, item := range found {
			items[i] = Copied(item)
		}
		return items
	case map[string]any:
		members := make(map[string]any, len(found))
		for name, member := range found {
			members[name] = Copied(member)
		}
		return members
	}
	return value
}
