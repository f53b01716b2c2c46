package openflagship

import (
	"encoding/json"
	"fmt"
	"reflect"

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
	return plain(c, engine.Boolean, key, user, otherwise)
}

// StringValue is the value of a string flag; otherwise where the flag has another type, or is not there.
func (c *Client) StringValue(key string, user User, otherwise string) string {
	return plain(c, engine.String, key, user, otherwise)
}

// NumberValue is the value of a number flag; otherwise where the flag has another type, or is not there.
func (c *Client) NumberValue(key string, user User, otherwise float64) float64 {
	return plain(c, engine.Number, key, user, otherwise)
}

// plain is the value alone.
func plain[Value any](c *Client, kind engine.FlagType, key string, user User, otherwise Value) Value {
	var told any
	if c.extras.Load() != nil {
		// Only hooks ask for it, and it may take memory.
		told = otherwise
	}
	if outcome := c.ask(kind, key, user, told, nil); outcome.Decision != nil {
		return outcome.Value.(Value)
	}
	return otherwise
}

// JSONValue is the value of a json flag as encoding/json gives it: a copy of the caller's own.
func (c *Client) JSONValue(key string, user User, otherwise any) any {
	return c.JSONDetail(key, user, otherwise).Value
}

// JSONInto reads the value of a json flag into what target points to, as encoding/json reads it into a new variable:
// it replaces target as a whole, and a member that the value lacks becomes zero. A value of null leaves a target that
// cannot be nil as it is.
//
// Where there is no value, or it does not fit, all of target stays as it is, the answer says why, and no exposure is
// recorded. A target that is no pointer, or nil, fits nothing.
func (c *Client) JSONInto(key string, user User, target any) Answer {
	into := reflect.ValueOf(target)
	var made reflect.Value
	outcome := c.ask(engine.JSON, key, user, nil, func(value any) string {
		if into.Kind() != reflect.Pointer || into.IsNil() {
			return "The target is no pointer, or nil: give a pointer to a variable."
		}
		if value == nil && isNeverNil(into) {
			return ""
		}
		made = reflect.New(into.Type().Elem())
		text, err := json.Marshal(value)
		if err == nil {
			err = json.Unmarshal(text, made.Interface())
		}
		if err != nil {
			return "The flag's value does not fit the target: " + err.Error()
		}
		return ""
	})
	if outcome.Decision != nil && made.IsValid() {
		into.Elem().Set(made.Elem())
	}
	return answerOf(&outcome, nil)
}

// isNeverNil says whether null can be told in no way to what this points to.
func isNeverNil(into reflect.Value) bool {
	switch into.Type().Elem().Kind() {
	case reflect.Interface, reflect.Map, reflect.Pointer, reflect.Slice:
		return false
	}
	_, readsItself := into.Interface().(json.Unmarshaler)
	return !readsItself
}

// BoolDetail is like BoolValue, with the reason: ERROR and TYPE_MISMATCH for a flag of another type.
func (c *Client) BoolDetail(key string, user User, otherwise bool) Detail[bool] {
	outcome := c.ask(engine.Boolean, key, user, otherwise, nil)
	return detailOf(&outcome, otherwise)
}

// StringDetail is like StringValue, with the reason.
func (c *Client) StringDetail(key string, user User, otherwise string) Detail[string] {
	outcome := c.ask(engine.String, key, user, otherwise, nil)
	return detailOf(&outcome, otherwise)
}

// NumberDetail is like NumberValue, with the reason.
func (c *Client) NumberDetail(key string, user User, otherwise float64) Detail[float64] {
	outcome := c.ask(engine.Number, key, user, otherwise, nil)
	return detailOf(&outcome, otherwise)
}

// JSONDetail is like JSONValue, with the reason.
func (c *Client) JSONDetail(key string, user User, otherwise any) Detail[any] {
	outcome := c.ask(engine.JSON, key, user, otherwise, nil)
	detail := detailOf(&outcome, otherwise)
	if outcome.Decision != nil {
		detail.Value = Copied(outcome.Value)
	}
	return detail
}

// Detail is the answer of a flag of any type.
func (c *Client) Detail(key string, user User, otherwise any) Answer {
	outcome := c.ask("", key, user, otherwise, nil)
	return answerOf(&outcome, otherwise)
}

// fits says what is wrong with a value for the caller; empty where nothing is. nil: each value fits.
type fits = func(value any) (problem string)

// Outcome is what the engine gives, for providers of other interfaces. An empty kind is any type. Where fits says that
// something is wrong with the value, that is a mismatch: the caller's default is served, and no exposure is recorded.
func (c *Client) Outcome(kind engine.FlagType, key string, user User, otherwise any, fits fits) engine.Outcome {
	return c.ask(kind, key, user, otherwise, fits)
}

// All are the answers of all flags, or of the named ones. It records no exposures: no user has seen them yet.
func (c *Client) All(user User, keys ...string) map[string]Answer {
	answers := map[string]Answer{}
	c.voice.Guard("an evaluation failed", func() {
		c.lookAtClock()
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
func (c *Client) TrackExposure(key string, user User) { c.ask("", key, user, nil, nil) }

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

// ask evaluates. A panic is a bug, or foreign code's; it costs the caller's default. fits is as in Outcome.
func (c *Client) ask(
	kind engine.FlagType, key string, user User, otherwise any, fits fits,
) (outcome engine.Outcome) {
	defer func() {
		if problem := recover(); problem != nil {
			c.voice.Warn("an evaluation failed: the default is served: %v", problem)
			outcome = engine.Failure(nil, engine.General, fmt.Sprintf("%T", problem))
		}
	}()
	c.lookAtClock()
	user = user.Refusing(c.refused)
	if more := c.extras.Load(); more != nil {
		return c.evaluateAround(more, kind, key, user, otherwise, fits)
	}
	return c.evaluate(kind, key, user, fits)
}

// lookAtClock does at an evaluation what no goroutine does in the mode OnDemand, and after Close.
func (c *Client) lookAtClock() {
	isClosing := c.isClosing.Load()
	if c.demand == nil && !isClosing {
		return
	}
	if !isClosing {
		c.demand.begin()
	}
	c.configuration.CheckStaleness()
}

func (c *Client) evaluate(kind engine.FlagType, key string, user User, fits fits) engine.Outcome {
	outcome := c.configuration.Environment().Evaluate(key, user)
	switch {
	case outcome.Decision == nil:
		if outcome.ErrorCode() == engine.FlagNotFound && !c.configuration.IsHad() {
			return engine.Failure(nil, engine.FlagNotFound, notReady)
		}
		c.usage.CountFailure(key, outcome.ErrorCode())
	case c.isMismatch(&outcome, kind, key, fits):
		// Nobody sees a variant that does not fit, so no exposure is recorded for it.
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

// isMismatch says whether the answer is none that the caller asked for; then it is a failure from now on.
func (c *Client) isMismatch(outcome *engine.Outcome, kind engine.FlagType, key string, fits fits) bool {
	problem := ""
	if kind != "" && outcome.Type != kind {
		problem = fmt.Sprintf("The flag's type is %s, asked for was %s.", outcome.Type, kind)
	} else if fits != nil {
		problem = fits(outcome.Value)
	}
	if problem == "" {
		return false
	}
	*outcome = engine.Failure(c.Environment(), engine.TypeMismatch, problem)
	c.usage.CountFailure(key, engine.TypeMismatch)
	return true
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
