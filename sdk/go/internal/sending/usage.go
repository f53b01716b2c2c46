package sending

import (
	"sort"
	"strings"
	"sync"
	"unicode/utf8"

	"openflagship/engine"
)

const (
	mostUnknown       = 100
	mostKeyCharacters = 200
)

// row is one of POST events/usage.
type row struct {
	FlagKey   string  `json:"flagKey"`
	Variant   *string `json:"variant"`
	Reason    string  `json:"reason"`
	ErrorCode string  `json:"errorCode,omitempty"`
	Count     int64   `json:"count"`
}

type unknownFlag struct {
	FlagKey string `json:"flagKey"`
	Count   int64  `json:"count"`
}

// counted is what was counted between two instants, in the API's form.
type counted struct {
	flags   []row
	unknown []unknownFlag
	unnamed int64
}

type rowKey struct {
	flagKey, variant, reason, errorCode string
}

// Usage is how often each flag gave each variant for which reason: counted at the evaluation, summed up once a minute.
type Usage struct {
	mutex sync.Mutex
	// Each decision that was given counts itself; these are the ones with a count.
	given   []*engine.Decision
	rows    map[rowKey]int64
	unknown map[string]int64
	unnamed int64
}

// NewUsage has counted nothing.
func NewUsage() *Usage {
	return &Usage{rows: map[rowKey]int64{}, unknown: map[string]int64{}}
}

// Count counts an answer. Only the first of a summary takes a lock.
func (u *Usage) Count(decision *engine.Decision) {
	if decision.Uses.Add(1) == 1 {
		u.mutex.Lock()
		u.given = append(u.given, decision)
		u.mutex.Unlock()
	}
}

// CountFailure counts a default that was served. Of unknown flags at most a hundred keep their names.
func (u *Usage) CountFailure(flagKey string, code engine.ErrorCode) {
	name := flagKey
	if utf8.RuneCountInString(name) > mostKeyCharacters {
		name = string([]rune(name)[:mostKeyCharacters])
	}
	u.mutex.Lock()
	defer u.mutex.Unlock()
	_, isKnown := u.unknown[name]
	switch {
	// The server refuses a whole summary for a key that is empty, holds NUL or is no Unicode.
	case name == "" || strings.Contains(name, "\x00") || !utf8.ValidString(name):
		u.unnamed++
	case code != engine.FlagNotFound:
		u.rows[rowKey{name, "", string(engine.Failed), string(code)}]++
	case isKnown || len(u.unknown) < mostUnknown:
		u.unknown[name]++
	default:
		u.unnamed++
	}
}

// settle keeps the numbers and lets go of the decisions, whose configuration may be an old one.
func (u *Usage) settle() {
	for _, decision := range u.given {
		count := decision.Uses.Swap(0)
		u.rows[rowKey{decision.FlagKey, decision.Variant, string(decision.Reason), ""}] += count
	}
	u.given = nil
}

// take is what was counted since the last call; false where nothing was.
func (u *Usage) take() (counted, bool) {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	u.settle()
	found := counted{flags: []row{}, unknown: []unknownFlag{}, unnamed: u.unnamed}
	for key, count := range u.rows {
		one := row{FlagKey: key.flagKey, Reason: key.reason, ErrorCode: key.errorCode, Count: count}
		if variant := key.variant; variant != "" {
			one.Variant = &variant
		}
		found.flags = append(found.flags, one)
	}
	for key, count := range u.unknown {
		found.unknown = append(found.unknown, unknownFlag{key, count})
	}
	sort.Slice(found.flags, func(i, j int) bool { return found.flags[i].FlagKey < found.flags[j].FlagKey })
	isAny := len(found.flags)+len(found.unknown) > 0 || found.unnamed > 0
	u.rows, u.unknown, u.unnamed = map[rowKey]int64{}, map[string]int64{}, 0
	return found, isAny
}
