package engine

import (
	"fmt"
	"strings"
	"testing"
)

// The workload of benchmarks/engine: W1 is a boolean flag at 25 %, W2 ten rules of two conditions of which the last
// matches. A thousand other flags stand beside them.
func workload(tb testing.TB) (*Environment, []User) {
	flags := []string{
		`"w1":` + flagWith(`,"allocation":[[0,2500,"treatment"]]`),
		`"w2":` + flagWith(`,"rules":[`+strings.Join(tenRules(), ",")+`]`),
	}
	for number := range 1000 {
		flags = append(flags, fmt.Sprintf(`"flag-%d":%s`, number, flagWith(`,"allocation":[[0,2500,"treatment"]]`)))
	}
	environment := parsed(tb, `{"contract":1,"version":1,"flags":{`+strings.Join(flags, ",")+`}}`)
	users := make([]User, 10_000)
	attributes := map[string]any{"country": "DE", "plan": "pro", "age": 42}
	for number := range users {
		users[number] = User{ID: fmt.Sprintf("user-%d", number), Attributes: attributes}
	}
	return environment, users
}

func tenRules() []string {
	var rules []string
	for number := range 10 {
		plan := "free"
		if number == 9 {
			plan = "pro"
		}
		rules = append(rules, fmt.Sprintf(
			`{"id":"r%d","priority":%d,"variant":"treatment","conditions":[{"attribute":"country","operator":"equals",`+
				`"value":"DE"},{"attribute":"plan","operator":"equals","value":"%s"}]}`, number, number, plan,
		))
	}
	return rules
}

func TestEvaluation_OfASplitOrOfRules_AllocatesNothing(t *testing.T) {
	environment, users := workload(t)
	on := 0
	for _, user := range users {
		if outcome := environment.Evaluate("w1", user); outcome.Value == true {
			on++
		}
	}
	if on < 2200 || on > 2800 {
		t.Errorf("%d of 10,000 are on", on)
	}
	for _, key := range []string{"w1", "w2"} {
		if count := testing.AllocsPerRun(100, func() { environment.Evaluate(key, users[1]) }); count != 0 {
			t.Errorf("%s allocates %v times", key, count)
		}
	}
}

// murmur is MurmurHash3 as it stands in most SDKs: what no evaluation of a split can do without.
func murmur(text string) uint32 {
	var hash uint32
	size := uint32(len(text))
	for ; len(text) >= 4; text = text[4:] {
		hash = mixed(hash, word(text))
	}
	var rest uint32
	for at := len(text) - 1; at >= 0; at-- {
		rest = rest<<8 | uint32(text[at])
	}
	hash ^= scrambled(rest) ^ size
	hash = (hash ^ hash>>16) * 0x85ebca6b
	hash = (hash ^ hash>>13) * 0xc2b2ae35
	return hash ^ hash>>16
}

func BenchmarkBareHash(b *testing.B) {
	_, users := workload(b)
	b.ReportAllocs()
	b.ResetTimer()
	var sum uint32
	for i := range b.N {
		sum += murmur("w1:"+users[i%len(users)].ID) % Buckets
	}
	sink = sum
}

var sink uint32

func benchmark(b *testing.B, key string) {
	environment, users := workload(b)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if outcome := environment.Evaluate(key, users[i%len(users)]); outcome.Value.(bool) {
			sink++
		}
	}
}

func BenchmarkW1(b *testing.B) { benchmark(b, "w1") }

func BenchmarkW2(b *testing.B) { benchmark(b, "w2") }

func BenchmarkW4(b *testing.B) {
	environment, users := workload(b)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		environment.EvaluateAll(users[i%len(users)], nil, func(string, Outcome) { sink++ })
	}
}
