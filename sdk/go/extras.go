package openflagship

import (
	"slices"

	"openflagship/engine"
	"openflagship/internal/sending"
)

// extras are a client's hooks, and what tests put in place of answers; nil where there are none, which costs an
// evaluation nothing. A change makes a new one.
type extras struct {
	hooks     []*Hook
	overrides []*override
	taps      []*tap
}

type override struct {
	key    string
	userID *string
	fixed  *engine.Decision
}

type tap func(name, userID string, details sending.Details)

// fixed is what stands in the flag's place for this user; the last one that was begun counts.
func (e *extras) fixed(key string, user User) *engine.Decision {
	if e == nil {
		return nil
	}
	for i := len(e.overrides) - 1; i >= 0; i-- {
		if one := e.overrides[i]; one.key == key && (one.userID == nil || *one.userID == user.ID) {
			return one.fixed
		}
	}
	return nil
}

func (e *extras) keys() []string {
	if e == nil {
		return nil
	}
	var keys []string
	for _, one := range e.overrides {
		keys = append(keys, one.key)
	}
	return keys
}

func (e *extras) tapped() []tap {
	if e == nil {
		return nil
	}
	var found []tap
	for _, one := range e.taps {
		found = append(found, *one)
	}
	return found
}

func (c *Client) change(edit func(*extras)) {
	c.extrasMutex.Lock()
	defer c.extrasMutex.Unlock()
	next := &extras{}
	if present := c.extras.Load(); present != nil {
		next.hooks = slices.Clone(present.hooks)
		next.overrides = slices.Clone(present.overrides)
		next.taps = slices.Clone(present.taps)
	}
	edit(next)
	if len(next.hooks)+len(next.overrides)+len(next.taps) == 0 {
		next = nil
	}
	c.extras.Store(next)
}

func without[Item comparable](items []Item, item Item) []Item {
	return slices.DeleteFunc(items, func(one Item) bool { return one == item })
}

// AddHook calls the hook around every evaluation. Call what is returned to end that.
func (c *Client) AddHook(hook Hook) (end func()) {
	c.change(func(e *extras) { e.hooks = append(e.hooks, &hook) })
	return func() { c.change(func(e *extras) { e.hooks = without(e.hooks, &hook) }) }
}

// Rigging is what the package flagtest reaches into. It is no part of what services call.
type Rigging struct{ client *Client }

// Rigging is for the package flagtest.
func (c *Client) Rigging() Rigging { return Rigging{c} }

// Override puts a decision in the flag's place for everybody, or for one user, until it is ended.
func (r Rigging) Override(userID *string, fixed *engine.Decision) (end func()) {
	one := &override{fixed.FlagKey, userID, fixed}
	r.client.change(func(e *extras) { e.overrides = append(e.overrides, one) })
	return func() { r.client.change(func(e *extras) { e.overrides = without(e.overrides, one) }) }
}

// Tap is told of each event that was taken, until it is ended.
func (r Rigging) Tap(call func(name, userID string, details TrackDetails)) (end func()) {
	one := tap(call)
	r.client.change(func(e *extras) { e.taps = append(e.taps, &one) })
	return func() { r.client.change(func(e *extras) { e.taps = without(e.taps, &one) }) }
}
