package engine

import "bytes"

// flag is a flag of an environment, and what serves it.
//
// A document that is not understood (unknown operator, type or shape) leaves the last version that was: isHeld. Its
// kill switch is obeyed all the same. Without such a version code is nil, and problem says why.
type flag struct {
	key          string
	raw          []byte
	code         *code
	isUnderstood bool
	isHeld       bool
	problem      string
	understood   *definition
	// Whether the code's pieces decide alone.
	isPlain bool
}

func newFlag(key string, raw []byte, document any, salt string, previous *flag) *flag {
	one := &flag{key: key, raw: bytes.Clone(raw)}
	found, err := readFlag(key, document)
	one.problem = "conditions: Update the SDK, it does not understand this flag."
	if err != nil {
		one.problem = err.Error()
	}
	one.isUnderstood = err == nil && found.isUnderstood()
	switch {
	case one.isUnderstood:
		one.understood = found
	case previous != nil:
		one.understood = previous.understood
	}
	if err != nil {
		found = readKilledFlag(key, document)
	} else if !one.isUnderstood && found.killSwitchVariant == "" && found.isEnabled {
		found = nil
	}
	if one.isHeld = found == nil && one.understood != nil; one.isHeld {
		held := *one.understood
		held.killSwitchVariant = ""
		found = &held
	}
	if found != nil {
		one.code = compile(found, salt)
		one.isPlain = one.code.isPlain
	}
	return one
}

// segment is a segment of an environment, and what serves it.
//
// As for flags, a document that is not understood leaves the last version that was (isHeld); without one there is no
// definition, and a flag that asks for the segment cannot be evaluated.
type segment struct {
	key          string
	raw          []byte
	definition   *segmentDefinition
	tree         *node
	isUnderstood bool
	isHeld       bool
	isLinked     bool
	segmentKeys  []string
}

func newSegment(key string, raw []byte, document any, previous *segment) *segment {
	one := &segment{key: key, raw: bytes.Clone(raw), definition: readSegment(key, document)}
	one.isUnderstood = one.definition != nil &&
		(one.definition.conditions == nil || one.definition.conditions.isUnderstood())
	if !one.isUnderstood {
		one.definition = nil
		if previous != nil {
			one.definition = previous.definition
		}
		one.isHeld = one.definition != nil
	}
	if one.definition != nil && one.definition.conditions != nil {
		one.segmentKeys = one.definition.conditions.segmentKeys(nil)
		one.isLinked = len(one.segmentKeys) > 0
		one.tree = one.definition.conditions.simplified()
	}
	return one
}
