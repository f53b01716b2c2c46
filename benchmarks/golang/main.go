// Measures one SDK: "go run . NAME < store.json". It prints nanoseconds a call, a list for each loop.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

const rounds = 15

type condition [3]any

type flag struct {
	Key      string
	Kind     string
	Split    [][2]any
	Rules    []json.RawMessage
	Variants []string
	Values   map[string]any
}

type store struct {
	Snapshot   json.RawMessage
	Flags      []flag
	Users      []string
	Attributes map[string]any
}

// rule is its conditions and its variant.
func rule(raw json.RawMessage) (conditions []condition, variant string) {
	var parts []json.RawMessage
	must(json.Unmarshal(raw, &parts))
	must(json.Unmarshal(parts[0], &conditions))
	must(json.Unmarshal(parts[1], &variant))
	return conditions, variant
}

// asker asks one SDK for the value of a flag for the user with this number.
type asker struct {
	isOn func(key string, user int) bool
	text func(key string, user int) string
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	var s store
	must(json.NewDecoder(os.Stdin).Decode(&s))
	engines := map[string]func(*store) asker{
		"openflagship": ours, "openflagship, without detail": oursWithout, "openflagship/engine": engineAlone,
		"launchdarkly": launchdarkly, "growthbook": growthbookClient,
	}
	asked := engines[os.Args[1]](&s)
	on := 0
	for user := range s.Users {
		if asked.isOn("w1", user) {
			on++
		}
	}
	if last := asked.text("w2", 0); on < 2200 || on > 2800 || last != "v10" {
		panic(fmt.Sprintf("wrong answers: %d of w1, %q of w2", on, last))
	}
	loops := map[string][]float64{
		"floor": samples(len(s.Users), func(user int) { sum += murmur("w1:"+s.Users[user]) % 10_000 }),
		"W1": samples(len(s.Users), func(user int) {
			if asked.isOn("w1", user) {
				sum++
			}
		}),
		"W2": samples(len(s.Users), func(user int) { sum += uint32(len(asked.text("w2", user))) }),
	}
	must(json.NewEncoder(os.Stdout).Encode(map[string]any{"loops": loops, "sum": sum}))
}

var sum uint32

// samples are nanoseconds of processor time a call, of each round; the first rounds warm the caches.
func samples(calls int, call func(int)) []float64 {
	var found []float64
	for round := range rounds + 5 {
		since := processorTime()
		for number := range calls {
			call(number)
		}
		if round >= 5 {
			found = append(found, float64(processorTime()-since)/float64(calls))
		}
	}
	return found
}

// processorTime is what this process has used, in nanoseconds: other work of the machine does not count.
func processorTime() int64 {
	const ofProcess = 2
	var found syscall.Timespec
	if _, _, failure := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, ofProcess, uintptr(unsafe.Pointer(&found)), 0); failure != 0 {
		panic(failure)
	}
	return found.Nano()
}

// murmur is MurmurHash3 as it stands in most SDKs: what no evaluation of a split can do without.
func murmur(text string) uint32 {
	const first, second = 0xcc9e2d51, 0x1b873593
	turned := func(block uint32) uint32 {
		block *= first
		return (block<<15 | block>>17) * second
	}
	var hash uint32
	size := uint32(len(text))
	for ; len(text) >= 4; text = text[4:] {
		hash ^= turned(uint32(text[0]) | uint32(text[1])<<8 | uint32(text[2])<<16 | uint32(text[3])<<24)
		hash = (hash<<13|hash>>19)*5 + 0xe6546b64
	}
	var rest uint32
	for at := len(text) - 1; at >= 0; at-- {
		rest = rest<<8 | uint32(text[at])
	}
	hash ^= turned(rest) ^ size
	hash = (hash ^ hash>>16) * 0x85ebca6b
	hash = (hash ^ hash>>13) * 0xc2b2ae35
	return hash ^ hash>>16
}
