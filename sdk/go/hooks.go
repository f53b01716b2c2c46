package openflagship

import (
	"openflagship/engine"
)

// Question is what is asked. Type is the flag's; empty without a flag.
type Question struct {
	FlagKey   string
	UserID    string
	Otherwise any
	Type      engine.FlagType
}

// Hook is called around every evaluation; give what you need. One that panics is logged, and changes no answer.
type Hook struct {
	// Before gives attributes to add to the user's.
	Before func(Question) map[string]any
	// After is called with an answer.
	After func(Question, Answer)
	// Error is called where the caller's default is served; ErrorCode and Detail say why.
	Error func(Question, Answer)
	// Finally is called last, in either case.
	Finally func(Question, Answer)
}

// evaluateAround is an evaluation with hooks or overrides: Before each in their order, After each in reverse.
func (c *Client) evaluateAround(
	more *extras, kind engine.FlagType, key string, user User, otherwise any, fits fits,
) engine.Outcome {
	question := Question{key, user.ID, otherwise, c.Environment().TypeOf(key)}
	for _, hook := range more.hooks {
		if hook.Before == nil {
			continue
		}
		c.voice.Guard("a hook failed in Before", func() {
			if added := hook.Before(question); len(added) > 0 {
				user = user.With(added)
			}
		})
	}
	outcome := c.overridden(more, kind, key, user, fits)
	answer := answerOf(&outcome, otherwise)
	for i := len(more.hooks) - 1; i >= 0; i-- {
		name, call := "After", more.hooks[i].After
		if answer.ErrorCode != "" {
			name, call = "Error", more.hooks[i].Error
		}
		if call != nil {
			c.voice.Guard("a hook failed in "+name, func() { call(question, answer) })
		}
	}
	for i := len(more.hooks) - 1; i >= 0; i-- {
		if call := more.hooks[i].Finally; call != nil {
			c.voice.Guard("a hook failed in Finally", func() { call(question, answer) })
		}
	}
	return outcome
}

// overridden is the answer that stands in the flag's place in tests, or else the flag's.
func (c *Client) overridden(more *extras, kind engine.FlagType, key string, user User, fits fits) engine.Outcome {
	fixed := more.fixed(key, user)
	if fixed == nil {
		return c.evaluate(kind, key, user, fits)
	}
	outcome := engine.Fixed(c.Environment(), fixed)
	c.isMismatch(&outcome, kind, key, fits)
	return outcome
}
