package engine

import (
	"slices"
	"sort"
)

// scope is one evaluation, or those of all flags for one user: what was asked for before is not computed again.
type scope struct {
	environment *Environment
	variants    map[*flag]string
	memberships map[*segment]bool
}

// isMember says whether the user is in a segment. from is the segment that asks; nil for a flag.
func (s *scope) isMember(key string, u *User, from *segment) bool {
	environment := s.environment
	if from != nil && environment.links.isCut(from.key, key) {
		return false
	}
	one := environment.segments[key]
	if one == nil {
		return false
	}
	if !one.isLinked {
		return one.has(u, s)
	}
	if isMember, isKnown := s.memberships[one]; isKnown {
		return isMember
	}
	isMember := one.has(u, s)
	if s.memberships == nil {
		s.memberships = map[*segment]bool{}
	}
	s.memberships[one] = isMember
	return isMember
}

// variantOf is the variant that another flag gives; empty where it can meet no prerequisite of the flag from.
func (s *scope) variantOf(key string, u *User, from string) string {
	one := s.environment.meetable(key, from)
	if one == nil {
		return ""
	}
	if !one.code.isLinked {
		return one.code.answer(u, s).Variant
	}
	if variant, isKnown := s.variants[one]; isKnown {
		return variant
	}
	variant := one.code.answer(u, s).Variant
	if s.variants == nil {
		s.variants = map[*flag]string{}
	}
	s.variants[one] = variant
	return variant
}

// test says whether the tree holds for the user. subject and from are the flag or the segment that it belongs to.
func (n *node) test(u *User, s *scope, subject string, from *segment) bool {
	switch n.kind {
	case attributeNode:
		return n.holds(u.read(n.attribute, subject))
	case allNode:
		for _, child := range n.nodes {
			if !child.test(u, s, subject, from) {
				return false
			}
		}
		return true
	case anyNode:
		for _, child := range n.nodes {
			if child.test(u, s, subject, from) {
				return true
			}
		}
		return false
	case notNode:
		return !n.nodes[0].test(u, s, subject, from)
	case segmentsNode:
		for _, key := range n.keys {
			if s.isMember(key, u, from) {
				return !n.isNegated
			}
		}
		return n.isNegated
	}
	return n.kind == alwaysNode
}

// unit is what is hashed for the user; empty where there is none.
func (c *code) unit(u *User) string {
	if c.byUserID {
		return u.ID
	}
	return u.unit(c.definition.bucketBy)
}

func (c *code) answer(u *User, s *scope) *Decision {
	return c.decisions[c.choose(u, c.unit(u), s)]
}

// choose gives the number of the decision. Without a unit nothing is hashed.
func (c *code) choose(u *User, unit string, s *scope) int32 {
	for i := range c.steps {
		one := &c.steps[i]
		if one.kind == splitStep && one.tree == nil {
			// The most frequent step, without a call of its own.
			if unit != "" {
				if decision := find(one.pieces, c.hash.bucket(unit)); decision != pass {
					return decision
				}
			}
		} else if decision := c.take(one, u, unit, s); decision != pass {
			return decision
		}
	}
	if unit == "" {
		return c.servedWithoutUnit
	}
	return c.served
}

func (c *code) take(one *step, u *User, unit string, s *scope) int32 {
	switch one.kind {
	case splitStep:
		if unit == "" || (one.tree != nil && !one.tree.test(u, s, c.subject, nil)) {
			return pass
		}
		return find(one.pieces, c.hash.bucket(unit))
	case ruleStep:
		if one.tree.test(u, s, c.subject, nil) {
			return one.decision
		}
	case targetsStep:
		if decision, isTarget := one.targets[u.ID]; isTarget {
			return decision
		}
	case prerequisitesStep:
		for i := range c.definition.prerequisites {
			needed := &c.definition.prerequisites[i]
			variant := s.variantOf(needed.flagKey, u, c.subject)
			if variant == "" || !slices.Contains(needed.variants, variant) {
				return one.decision
			}
		}
	case experimentStep:
		return c.takeExperiment(one, u, unit, s)
	}
	return pass
}

func (c *code) takeExperiment(one *step, u *User, unit string, s *scope) int32 {
	if unit == "" {
		return pass
	}
	if one.tree != nil && !one.tree.test(u, s, c.subject, nil) {
		return one.otherwise
	}
	bucket := one.layer.bucket(unit)
	if !slices.ContainsFunc(one.ranges, func(r bucketRange) bool { return r.start <= bucket && bucket < r.end }) {
		return one.otherwise
	}
	if decision := find(one.pieces, c.hash.bucket(unit)); decision != pass {
		return decision
	}
	return one.decision
}

// find gives the decision of the range that has the bucket.
func find(pieces []piece, bucket int32) int32 {
	if len(pieces) > mostScanned {
		pieces = pieces[sort.Search(len(pieces), func(at int) bool { return pieces[at].end > bucket }):]
	}
	for i := range pieces {
		if bucket < pieces[i].end {
			if pieces[i].start <= bucket {
				return pieces[i].decision
			}
			break
		}
	}
	return pass
}

// has says whether the user is in the segment.
func (one *segment) has(u *User, s *scope) bool {
	found := one.definition
	if found == nil || (u.ID != "" && found.excluded[u.ID]) {
		return false
	}
	if u.ID != "" && found.included[u.ID] {
		return true
	}
	return one.tree != nil && one.tree.test(u, s, one.key, one)
}
