package engine

import (
	"cmp"
	"math"
	"regexp"
	"strings"
	"unicode/utf8"
)

// truth is what a test says of a single value. It is inapplicable to one of another type.
type truth uint8

const (
	inapplicable truth = iota
	no
	yes
)

func truthOf(holds bool) truth {
	if holds {
		return yes
	}
	return no
}

type test func(value) truth

// predicate says whether an attribute of any type satisfies a condition.
type predicate func(value) bool

// operator makes a condition's value ready; false where the operator cannot use it.
type operator func(wanted any) (predicate, bool)

const (
	inSegment    = "in_segment"
	notInSegment = "not_in_segment"
)

// operators compare an attribute, by name. Segments are the environment's to look up.
var operators = map[string]operator{
	"equals":                  listed(same, same, false),
	"not_equals":              listed(same, same, true),
	"in":                      listed(member, member, false),
	"not_in":                  listed(member, member, true),
	"greater_than":            numeric(func(order int) bool { return order > 0 }),
	"greater_or_equal":        numeric(func(order int) bool { return order >= 0 }),
	"less_than":               numeric(func(order int) bool { return order < 0 }),
	"less_or_equal":           numeric(func(order int) bool { return order <= 0 }),
	"contains":                listed(part, same, false),
	"not_contains":            listed(part, same, true),
	"starts_with":             listed(affixed(strings.HasPrefix), affixed(strings.HasPrefix), false),
	"ends_with":               listed(affixed(strings.HasSuffix), affixed(strings.HasSuffix), false),
	"matches":                 listed(matched, matched, false),
	"semver_equal":            versioned(func(order int) bool { return order == 0 }),
	"semver_greater":          versioned(func(order int) bool { return order > 0 }),
	"semver_greater_or_equal": versioned(func(order int) bool { return order >= 0 }),
	"semver_less":             versioned(func(order int) bool { return order < 0 }),
	"semver_less_or_equal":    versioned(func(order int) bool { return order <= 0 }),
	"before":                  timed(func(order int) bool { return order < 0 }),
	"after":                   timed(func(order int) bool { return order > 0 }),
	"exists":                  valueless(func(v value) bool { return v.kind != absent }),
	"not_exists":              valueless(func(v value) bool { return v.kind == absent }),
}

type preparing func(wanted any) (test, bool)

// listed is an operator that takes lists: any element satisfies it; negated, none does the positive.
func listed(prepare, prepareElement preparing, isNegated bool) operator {
	return func(wanted any) (predicate, bool) {
		holds, isGood := prepare(wanted)
		element, isElementGood := prepareElement(wanted)
		if !isGood || !isElementGood {
			return nil, false
		}
		return func(v value) bool {
			if v.kind != listKind {
				found := holds(v)
				return found != inapplicable && (found == yes) != isNegated
			}
			for _, one := range *v.list {
				if element(one) == yes {
					return !isNegated
				}
			}
			return isNegated
		}, true
	}
}

// scalarOf is a condition's value as text, a finite number or a boolean.
func scalarOf(wanted any) (value, bool) {
	switch found := wanted.(type) {
	case string:
		return textValue(found), utf8.ValidString(found)
	case float64:
		return numberValue(found), !math.IsInf(found, 0)
	case bool:
		return booleanValue(found), true
	}
	return value{}, false
}

func same(wanted any) (test, bool) {
	scalar, isGood := scalarOf(wanted)
	return func(v value) truth {
		if v.kind != scalar.kind {
			return inapplicable
		}
		switch v.kind {
		case textKind:
			return truthOf(v.text == scalar.text)
		case numberKind:
			return truthOf(v.number == scalar.number)
		default:
			return truthOf(v.isTrue == scalar.isTrue)
		}
	}, isGood
}

func member(wanted any) (test, bool) {
	items, isList := wanted.([]any)
	if !isList {
		return nil, false
	}
	texts, numbers, booleans := map[string]bool{}, map[float64]bool{}, map[bool]bool{}
	for _, item := range items {
		scalar, isGood := scalarOf(item)
		if !isGood {
			return nil, false
		}
		switch scalar.kind {
		case textKind:
			texts[scalar.text] = true
		case numberKind:
			numbers[scalar.number] = true
		default:
			booleans[scalar.isTrue] = true
		}
	}
	return func(v value) truth {
		switch v.kind {
		case textKind:
			return truthOf(texts[v.text])
		case numberKind:
			return truthOf(numbers[v.number])
		case booleanKind:
			return truthOf(booleans[v.isTrue])
		}
		return inapplicable
	}, true
}

func part(wanted any) (test, bool) {
	scalar, isGood := scalarOf(wanted)
	return func(v value) truth {
		if v.kind != textKind || scalar.kind != textKind {
			return inapplicable
		}
		return truthOf(strings.Contains(v.text, scalar.text))
	}, isGood
}

func affixed(has func(text, affix string) bool) preparing {
	return func(wanted any) (test, bool) {
		items, isList := wanted.([]any)
		if !isList {
			items = []any{wanted}
		}
		affixes := make([]string, len(items))
		for i, item := range items {
			text, isText := item.(string)
			if !isText || !utf8.ValidString(text) {
				return nil, false
			}
			affixes[i] = text
		}
		return func(v value) truth {
			if v.kind != textKind {
				return inapplicable
			}
			for _, affix := range affixes {
				if has(v.text, affix) {
					return yes
				}
			}
			return no
		}, true
	}
}

func matched(wanted any) (test, bool) {
	text, isText := wanted.(string)
	if !isText || !utf8.ValidString(text) {
		return nil, false
	}
	pattern, err := regexp.Compile(text)
	return func(v value) truth {
		if v.kind != textKind || !utf8.ValidString(v.text) {
			return inapplicable
		}
		return truthOf(pattern.MatchString(v.text))
	}, err == nil
}

func numeric(holds func(order int) bool) operator {
	return func(wanted any) (predicate, bool) {
		scalar, isGood := scalarOf(wanted)
		return func(v value) bool {
			return v.kind == numberKind && holds(cmp.Compare(v.number, scalar.number))
		}, isGood && scalar.kind == numberKind
	}
}

func versioned(holds func(order int) bool) operator {
	return func(wanted any) (predicate, bool) {
		text, _ := wanted.(string)
		least, isGood := versionOf(text)
		return func(v value) bool {
			if v.kind != textKind {
				return false
			}
			found, isVersion := versionOf(v.text)
			return isVersion && holds(found.compare(least))
		}, isGood
	}
}

func timed(holds func(order int) bool) operator {
	read := func(v value) (float64, bool) {
		if v.kind == textKind {
			return instantOf(v.text)
		}
		return v.number, v.kind == numberKind
	}
	return func(wanted any) (predicate, bool) {
		scalar, _ := scalarOf(wanted)
		limit, isGood := read(scalar)
		return func(v value) bool {
			at, isInstant := read(v)
			return isInstant && holds(cmp.Compare(at, limit))
		}, isGood
	}
}

func valueless(holds predicate) operator {
	return func(wanted any) (predicate, bool) { return holds, wanted == nil }
}
