package engine

import (
	"maps"
	"slices"
	"sort"
	"unicode/utf8"
)

// Contract is the version of the evaluation contract. A document's "contract" names the least version that it needs.
const Contract = 1

// Features is what this engine understands, by the names of the acknowledgement.
var Features = []string{"rule_trees", "bucket_by_list", "experiment_split"}

// Documents are JSON texts by key; nil removes what stands there.
type Documents map[string][]byte

// Environment evaluates an environment's flags. It is immutable: a change makes a new one, which shares what did not
// change.
type Environment struct {
	version  int64
	isStale  bool
	header   []byte
	salt     string
	flags    map[string]*flag
	segments map[string]*segment
	links    *links
	index    index
}

func (e *Environment) link() {
	e.links = newLinks(e.flags, e.segments)
	e.links.findBrokenFlags(e)
	e.index = newIndex(e.flags)
}

// Replace is a new environment with these documents in place of the old ones. It fails for a document that is no JSON.
func (e *Environment) Replace(version int64, flags, segments Documents) (*Environment, error) {
	next := *e
	next.version = version
	if len(flags)+len(segments) == 0 {
		return &next, nil
	}
	next.flags, next.segments = maps.Clone(e.flags), maps.Clone(e.segments)
	for key, raw := range flags {
		if raw == nil {
			delete(next.flags, key)
			continue
		}
		document, err := parseJSON(raw)
		if err != nil {
			return nil, err
		}
		next.flags[key] = newFlag(key, raw, document, e.salt, e.flags[key])
	}
	for key, raw := range segments {
		if raw == nil {
			delete(next.segments, key)
			continue
		}
		document, err := parseJSON(raw)
		if err != nil {
			return nil, err
		}
		next.segments[key] = newSegment(key, raw, document, e.segments[key])
	}
	next.link()
	return &next, nil
}

// WithStaleness is the same configuration with answers that are marked stale, or not.
func (e *Environment) WithStaleness(isStale bool) *Environment {
	if isStale == e.isStale {
		return e
	}
	next := *e
	next.isStale = isStale
	return &next
}

// Version is the version of the configuration.
func (e *Environment) Version() int64 { return e.version }

// IsStale says whether answers are marked stale.
func (e *Environment) IsStale() bool { return e.isStale }

// Keys are the flags' keys, in order.
func (e *Environment) Keys() []string { return sorted(e.flags, func(*flag) bool { return true }) }

// Size is the number of flags.
func (e *Environment) Size() int { return len(e.flags) }

// Metadata is what the flag's document says of itself; nil for a flag that nothing serves.
func (e *Environment) Metadata(key string) map[string]any {
	if one := e.flags[key]; one != nil && one.code != nil {
		return one.code.definition.metadata
	}
	return nil
}

// TypeOf is the type of a flag; empty for one that nothing serves.
func (e *Environment) TypeOf(key string) FlagType {
	if one := e.flags[key]; one != nil && one.code != nil {
		return one.code.definition.kind
	}
	return ""
}

// ValueOf is the value of a flag's variant; false where there is none.
func (e *Environment) ValueOf(key, variant string) (any, bool) {
	one := e.flags[key]
	if one == nil || one.code == nil || !one.code.definition.hasVariant(variant) {
		return nil, false
	}
	return one.code.definition.value(variant), true
}

// Evaluate gives the outcome for one flag. It waits for nothing, and changes nothing.
func (e *Environment) Evaluate(key string, u User) Outcome {
	one := e.index.find(key)
	if one == nil || !one.isPlain {
		return e.evaluateLinked(key, u)
	}
	c, unit := one.code, u.ID
	hash, isASCII := c.hash.sum(unit)
	decision := c.served
	if unit == "" || (!isASCII && !utf8.ValidString(unit)) {
		unit, decision = "", c.servedWithoutUnit
	} else {
		bucket := int32(hash % Buckets)
		for i := range c.pieces {
			if piece := &c.pieces[i]; piece.start <= bucket && bucket < piece.end {
				decision = piece.decision
				break
			}
		}
	}
	return Outcome{Decision: c.decisions[decision], Unit: unit, environment: e, isBehind: one.isHeld}
}

// evaluateLinked is apart, so that a plain flag's user stays in registers.
func (e *Environment) evaluateLinked(key string, u User) Outcome {
	u.wellFormed()
	return e.evaluate(key, &u, nil)
}

// EvaluateAll calls visit with the outcome of each flag, or of the named ones.
func (e *Environment) EvaluateAll(u User, keys []string, visit func(key string, outcome Outcome)) {
	u.wellFormed()
	s := &scope{environment: e}
	if keys == nil {
		keys = e.Keys()
	}
	for _, key := range keys {
		visit(key, e.evaluate(key, &u, s))
	}
}

func (e *Environment) evaluate(key string, u *User, s *scope) Outcome {
	one := e.index.find(key)
	if one == nil {
		return Outcome{environment: e, failure: flagNotFound}
	}
	c := one.code
	if c == nil {
		return Failure(e, ParseError, one.problem)
	}
	isBehind := one.isHeld
	// Most flags ask for nothing else; whether one does is known when it is compiled.
	if c.isLinked {
		if problem := e.links.brokenFlags[key]; problem != "" {
			return Failure(e, ParseError, problem)
		}
		isBehind = isBehind || e.asksHeld(c)
		if s == nil {
			s = &scope{environment: e}
		}
	}
	unit := u.ID
	if !c.byUserID {
		unit = u.unit(c.definition.bucketBy)
	}
	return Outcome{Decision: c.decisions[c.choose(u, unit, s)], Unit: unit, environment: e, isBehind: isBehind}
}

func (e *Environment) asksHeld(c *code) bool {
	return slices.ContainsFunc(c.segmentKeys, func(key string) bool { return e.links.held[key] })
}

// meetable is the flag that the flag from has as a prerequisite; nil where it can meet none.
func (e *Environment) meetable(key, from string) *flag {
	if e.links.unmeetable[from] {
		return nil
	}
	one := e.flags[key]
	if one == nil || one.code == nil || !one.code.definition.isEnabled {
		return nil
	}
	return one
}

// Unit is what the flag hashes for the user; empty without one, or for an unknown flag.
func (e *Environment) Unit(key string, u User) string {
	u.wellFormed()
	switch one := e.flags[key]; {
	case one == nil:
		return ""
	case one.code == nil:
		return u.ID
	default:
		return one.code.unit(&u)
	}
}

// NotUnderstood are the flags and segments whose present version this engine cannot serve, for the acknowledgement.
func (e *Environment) NotUnderstood() (flags, segments []string) {
	isUnclear := func(key string) bool { return e.links.held[key] || e.links.broken[key] }
	flags = sorted(e.flags, func(one *flag) bool {
		return !one.isUnderstood ||
			(one.code != nil && slices.ContainsFunc(one.code.definition.segmentKeys(), isUnclear))
	})
	return flags, sorted(e.segments, func(one *segment) bool { return !one.isUnderstood })
}

func sorted[Item any](items map[string]Item, holds func(Item) bool) []string {
	keys := []string{}
	for key, one := range items {
		if holds(one) {
			keys = append(keys, key)
		}
	}
	sort.Strings(keys)
	return keys
}
