package sending

import (
	"hash/maphash"
	"sync/atomic"

	"openflagship/engine"
)

const (
	leastSlots = 1 << 10
	mostSlots  = 1 << 20
	// Places of a table that are tried for one mark.
	mostTries = 8
	// A place that was given back. Marks are never 0 or 1.
	givenBack = 1
)

var seed = maphash.MakeSeed()

// seen is which units were shown what since a window began: a table of marks that takes no lock and no memory of its
// own for each. A mark is a hash of flag, variant, version and unit. What finds no place counts as not seen: the server
// takes a repeat for what it is.
type seen struct {
	slots []atomic.Uint64
	marks atomic.Int64
}

func newSeen(mostEvents int) *seen {
	size := leastSlots
	for size < 4*mostEvents && size < mostSlots {
		size *= 2
	}
	return &seen{slots: make([]atomic.Uint64, size)}
}

func markOf(decision *engine.Decision, unit string, version int64) uint64 {
	mark := maphash.String(seed, decision.FlagKey)
	mark = mark*0x9e3779b97f4a7c15 ^ maphash.String(seed, decision.Variant)
	mark = mark*0x9e3779b97f4a7c15 ^ uint64(version)
	mark = mark*0x9e3779b97f4a7c15 ^ maphash.String(seed, unit)
	return max(mark, givenBack+1)
}

// add says whether the mark is new. Of several that add it at once, one is told so.
func (s *seen) add(mark uint64) (slot *atomic.Uint64, isNew bool) {
	mask := uint64(len(s.slots) - 1)
	for try := uint64(0); try < mostTries; try++ {
		slot := &s.slots[(mark+try)&mask]
		for {
			found := slot.Load()
			if found == mark {
				return slot, false
			}
			if found > givenBack {
				break
			}
			if slot.CompareAndSwap(found, mark) {
				s.marks.Add(1)
				return slot, true
			}
		}
	}
	return nil, true
}

// clear begins a new window.
func (s *seen) clear() {
	if s.marks.Swap(0) == 0 {
		return
	}
	for i := range s.slots {
		s.slots[i].Store(0)
	}
}
