package engine

import (
	"cmp"
	"strings"
)

// version is a semantic version. Numbers stay text: they have no limit on their length.
type version struct {
	numbers [3]string
	// Empty for a release.
	identifiers []string
}

// versionOf reads a semantic version. A leading v or V is allowed, missing minor and patch numbers are 0, build
// metadata is ignored.
func versionOf(text string) (version, bool) {
	if text != "" && (text[0] == 'v' || text[0] == 'V') {
		text = text[1:]
	}
	text, build, hasBuild := strings.Cut(text, "+")
	if hasBuild && !areIdentifiers(build) {
		return version{}, false
	}
	core, labels, hasLabels := strings.Cut(text, "-")
	found := version{numbers: [3]string{"0", "0", "0"}}
	parts := strings.Split(core, ".")
	if len(parts) > len(found.numbers) {
		return version{}, false
	}
	for i, part := range parts {
		if !isNumber(part) || (len(part) > 1 && part[0] == '0') {
			return version{}, false
		}
		found.numbers[i] = part
	}
	if !hasLabels {
		return found, true
	}
	if !areIdentifiers(labels) {
		return version{}, false
	}
	found.identifiers = strings.Split(labels, ".")
	for _, one := range found.identifiers {
		if len(one) > 1 && one[0] == '0' && isNumber(one) {
			return version{}, false
		}
	}
	return found, true
}

func areIdentifiers(text string) bool {
	for _, one := range strings.Split(text, ".") {
		if one == "" {
			return false
		}
		for i := 0; i < len(one); i++ {
			c := one[i]
			if !isDigit(c) && !('a' <= c && c <= 'z') && !('A' <= c && c <= 'Z') && c != '-' {
				return false
			}
		}
	}
	return true
}

func isNumber(text string) bool {
	for i := 0; i < len(text); i++ {
		if !isDigit(text[i]) {
			return false
		}
	}
	return text != ""
}

// compare is by the precedence of semver.org.
func (v version) compare(other version) int {
	for i, number := range v.numbers {
		if order := compareDigits(number, other.numbers[i]); order != 0 {
			return order
		}
	}
	// A release stands above its pre-releases.
	if len(v.identifiers) == 0 || len(other.identifiers) == 0 {
		return cmp.Compare(len(other.identifiers), len(v.identifiers))
	}
	for i := 0; i < min(len(v.identifiers), len(other.identifiers)); i++ {
		if order := compareIdentifiers(v.identifiers[i], other.identifiers[i]); order != 0 {
			return order
		}
	}
	return cmp.Compare(len(v.identifiers), len(other.identifiers))
}

func compareDigits(first, second string) int {
	if order := cmp.Compare(len(first), len(second)); order != 0 {
		return order
	}
	return strings.Compare(first, second)
}

func compareIdentifiers(first, second string) int {
	switch isFirst, isSecond := isNumber(first), isNumber(second); {
	case isFirst && isSecond:
		return compareDigits(first, second)
	case isFirst:
		return -1
	case isSecond:
		return 1
	default:
		return strings.Compare(first, second)
	}
}
