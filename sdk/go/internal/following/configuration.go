// Package following keeps the configuration current: first a snapshot, then the stream, polls where there is none.
package following

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"openflagship/engine"
	"openflagship/internal/transport"
)

// Source is where the configuration came from.
type Source string

// The sources; Nothing where none was had.
const (
	Nothing   Source = "nothing"
	Bootstrap Source = "bootstrap"
	Store     Source = "store"
	Network   Source = "network"
)

// Change says what changed: the keys of flags, or any where that is not known. Neither: only staleness did.
type Change struct {
	Keys  []string
	IsAny bool
}

// Observer is told of what the rest of the client acts upon. It must not wait. Changed must not ask the configuration
// for anything, whose lock is held; the others may, because a logger is foreign code.
type Observer struct {
	Changed     func(Change)
	BecameStale func(age time.Duration)
	WentBack    func(from, to int64)
}

// Configuration is what a client evaluates from: one immutable environment. A change replaces it as a whole.
type Configuration struct {
	current  atomic.Pointer[engine.Environment]
	isHad    atomic.Bool
	observer Observer
	limit    time.Duration
	began    time.Time
	// When answers become stale, as a time since began; the longest of all where they do not.
	staleFrom atomic.Int64

	mutex  sync.Mutex
	source Source
	etag   string
	// The present configuration as it was signed, where a signature was checked.
	proof        *Proof
	confirmedAt  time.Time
	hasConfirmed bool
	isLasting    bool
	// The newest version that was told of and not proved, and since when every fetched snapshot was an older one.
	heard      int64
	olderSince time.Time
	// Kills that came before the steps that precede them, by flag.
	ahead map[string]bool
	watch *time.Timer
	// What the observer is told once the lock is given back.
	said []func()
}

// NewConfiguration is an empty one, whose answers are stale after so long without news.
func NewConfiguration(limit time.Duration, observer Observer) *Configuration {
	empty, err := engine.Parse([]byte(`{"contract":1,"version":0}`), nil)
	if err != nil {
		panic(err)
	}
	c := &Configuration{
		observer: observer, limit: limit, source: Nothing, ahead: map[string]bool{}, began: time.Now(),
	}
	c.staleFrom.Store(math.MaxInt64)
	c.current.Store(empty)
	return c
}

// Environment is the present one. No lock is taken.
func (c *Configuration) Environment() *engine.Environment { return c.current.Load() }

// Version is the present one's.
func (c *Configuration) Version() int64 { return c.current.Load().Version() }

// IsHad says whether any configuration was had.
func (c *Configuration) IsHad() bool { return c.isHad.Load() }

// Source is where the present one came from.
func (c *Configuration) Source() Source {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.source
}

// Held is the present configuration, how it was signed, and where it came from.
func (c *Configuration) Held() (*engine.Environment, *Proof, Source) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.current.Load(), c.proof, c.source
}

// Age is since when the configuration was last known to be current; false where it never was.
//
// It counts from the server on: what an edge says of its own silence is included.
func (c *Configuration) Age() (time.Duration, bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.age()
}

func (c *Configuration) age() (time.Duration, bool) {
	return time.Since(c.confirmedAt), c.hasConfirmed
}

// unlock gives the lock back, and tells the observer what came up under it.
func (c *Configuration) unlock() {
	said := c.said
	c.said = nil
	c.mutex.Unlock()
	for _, say := range said {
		say()
	}
}

// AdoptBootstrap uses a configuration that the process was given. One that is lasting never goes stale.
func (c *Configuration) AdoptBootstrap(environment *engine.Environment, isLasting bool) {
	c.mutex.Lock()
	defer c.unlock()
	c.adopt(environment, Bootstrap, 0, isLasting, nil)
}

// AdoptKept uses what a store kept, unless the present configuration is the network's or a later one. It says whether
// it did.
func (c *Configuration) AdoptKept(environment *engine.Environment, age time.Duration, isLasting bool, proof *Proof) bool {
	c.mutex.Lock()
	defer c.unlock()
	if c.source == Network || (c.IsHad() && environment.Version() < c.Version()) {
		return false
	}
	c.adopt(environment, Store, age, isLasting, proof)
	return true
}

func (c *Configuration) adopt(
	environment *engine.Environment, source Source, age time.Duration, isLasting bool, proof *Proof,
) {
	c.note(isLasting, age)
	c.proof = proof
	c.swap(environment, source, Change{IsAny: true})
	c.mark(c.isPastLimit())
}

// taken is how a snapshot of the server's was had.
type taken struct {
	etag         string
	age          time.Duration
	proof        *Proof
	isFromStream bool
}

// replace uses the server's snapshot.
//
// A fetched snapshot that is older than the present one came from a process that lags behind; it is ignored, unless all
// are older for as long as answers may go without news: then the server itself went back to a backup. The stream sends
// an older one only there.
func (c *Configuration) replace(environment *engine.Environment, how taken) {
	c.mutex.Lock()
	defer c.unlock()
	if how.isFromStream {
		c.heard, c.olderSince = 0, time.Time{}
	} else if c.isLagging(environment.Version(), how.age) && environment.Version() < c.Version() {
		return
	}
	c.etag, c.proof = how.etag, how.proof
	c.ahead = map[string]bool{}
	c.swap(environment.WithStaleness(c.isPastLimit()), Network, Change{IsAny: true})
}

// confirm notes that a sender holds the configuration for current; it has been without news for so long.
func (c *Configuration) confirm(age time.Duration) {
	c.mutex.Lock()
	defer c.unlock()
	if c.heard > c.Version() {
		return
	}
	// Where signatures are asked for, a fetched snapshot says it, and nothing else.
	if c.proof == nil {
		c.olderSince = time.Time{}
	}
	c.noteConfirmed(age)
}

// confirmFetched notes that the snapshot which was asked for is the present one.
func (c *Configuration) confirmFetched(age time.Duration) {
	c.mutex.Lock()
	defer c.unlock()
	c.isLagging(c.Version(), age)
}

// hear notes that there is this version, as somebody says; until it is had, no older one is taken for current.
func (c *Configuration) hear(version int64) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.heard = max(c.heard, version)
}

func (c *Configuration) isBehind() bool {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.heard > c.Version() || !c.olderSince.IsZero()
}

func (c *Configuration) presentETag() string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.etag
}

// apply applies a stream's events; it says whether any applied.
func (c *Configuration) apply(events []transport.Event) (bool, error) {
	isChanged := false
	for len(events) > 0 {
		if events[0].Kind == snapshotKind {
			environment, err := ParseSnapshot(events[0].Data, c.Environment())
			if err != nil {
				return isChanged, err
			}
			c.replace(environment, taken{isFromStream: true})
			isChanged, events = true, events[1:]
			continue
		}
		run := 0
		for run < len(events) && events[run].Kind != snapshotKind {
			run++
		}
		isApplied, err := c.applyChanges(events[:run])
		if err != nil {
			return isChanged, err
		}
		isChanged, events = isChanged || isApplied, events[run:]
	}
	return isChanged, nil
}

func (c *Configuration) applyChanges(run []transport.Event) (bool, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	flags, segments, ahead := engine.Documents{}, engine.Documents{}, map[string]bool{}
	for key := range c.ahead {
		ahead[key] = true
	}
	version, isApplied := c.Version(), false
	for _, event := range run {
		at, hasVersion, err := versionOf(event)
		if err != nil {
			return false, err
		}
		isKnown := isKnownKind(event.Kind)
		if (hasVersion && at <= version) || (!hasVersion && !isKnown) {
			continue
		}
		if isKnown {
			key, document, err := changeIn(event)
			if err != nil {
				return false, err
			}
			if event.Kind == segmentKind {
				segments[key] = document
			} else if isInTurn(ahead, event.Kind, key, !hasVersion) {
				flags[key] = document
			}
		}
		// What a later release tells in a kind of its own is passed over; its place is noted.
		if isApplied = true; hasVersion {
			version = at
		}
	}
	if !isApplied {
		return false, nil
	}
	return true, c.takeChange(version, flags, segments, ahead)
}

func (c *Configuration) takeChange(version int64, flags, segments engine.Documents, ahead map[string]bool) error {
	environment, err := c.Environment().Replace(version, flags, segments)
	if err != nil {
		return &resyncNeededError{"an event is no JSON"}
	}
	c.current.Store(environment)
	c.ahead, c.olderSince, c.etag, c.proof = ahead, time.Time{}, "", nil
	change := Change{IsAny: len(segments) > 0}
	for key := range flags {
		change.Keys = append(change.Keys, key)
	}
	if change.IsAny || len(change.Keys) > 0 {
		c.observer.Changed(change)
	}
	return nil
}

// isInTurn says whether a flag's document applies. A kill ahead of its turn is not undone by the steps before it.
func isInTurn(ahead map[string]bool, kind, key string, isAhead bool) bool {
	if isAhead {
		ahead[key] = true
		return true
	}
	if ahead[key] {
		if kind != killSwitchKind {
			return false
		}
		delete(ahead, key)
	}
	return true
}

// isLagging says whether the sender of a fetched version lags behind. The one that does not confirms the configuration.
func (c *Configuration) isLagging(version int64, age time.Duration) bool {
	newest := max(c.Version(), c.heard)
	if c.source == Network && version < newest {
		if c.olderSince.IsZero() {
			c.olderSince = time.Now()
		}
		if time.Since(c.olderSince) < c.limit {
			return true
		}
		c.said = append(c.said, func() { c.observer.WentBack(newest, version) })
		c.heard = 0
	}
	c.olderSince = time.Time{}
	c.noteConfirmed(age)
	return false
}

func (c *Configuration) noteConfirmed(age time.Duration) {
	c.note(false, age)
	c.mark(c.isPastLimit())
	// It may be stale sooner than the watch, which sleeps, knows.
	if age > 0 && c.watch != nil {
		c.arm()
	}
}

// note notes since when the configuration was not confirmed; one that is lasting need not be.
func (c *Configuration) note(isLasting bool, age time.Duration) {
	c.isLasting, c.hasConfirmed, c.confirmedAt = isLasting, true, time.Now().Add(-age)
	from := int64(math.MaxInt64)
	if !isLasting {
		from = int64(c.confirmedAt.Sub(c.began) + c.limit)
	}
	c.staleFrom.Store(from)
}

func (c *Configuration) isPastLimit() bool {
	age, isKnown := c.age()
	return isKnown && !c.isLasting && age >= c.limit
}

// CheckStaleness marks the answers stale when it is time. Until then, and afterwards, it takes no lock.
func (c *Configuration) CheckStaleness() {
	if int64(time.Since(c.began)) < c.staleFrom.Load() || c.Environment().IsStale() {
		return
	}
	c.mutex.Lock()
	defer c.unlock()
	if c.isPastLimit() {
		c.mark(true)
	}
}

// Watch marks answers stale by the clock from now on, until Unwatch.
func (c *Configuration) Watch() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.watch = time.AfterFunc(c.limit, c.look)
	c.arm()
}

// Unwatch ends that.
func (c *Configuration) Unwatch() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.watch != nil {
		c.watch.Stop()
		c.watch = nil
	}
}

func (c *Configuration) look() {
	c.mutex.Lock()
	defer c.unlock()
	if c.watch == nil {
		return
	}
	if c.isPastLimit() {
		c.mark(true)
	}
	c.arm()
}

func (c *Configuration) arm() {
	left := c.limit
	if age, isKnown := c.age(); isKnown && !c.isLasting && !c.Environment().IsStale() {
		left = max(0, c.limit-age) + 10*time.Millisecond
	}
	c.watch.Reset(left)
}

func (c *Configuration) mark(isStale bool) {
	environment := c.Environment()
	if environment.IsStale() == isStale {
		return
	}
	c.swap(environment.WithStaleness(isStale), c.source, Change{})
	if isStale {
		age, _ := c.age()
		c.said = append(c.said, func() { c.observer.BecameStale(age) })
	}
}

func (c *Configuration) swap(environment *engine.Environment, source Source, change Change) {
	c.current.Store(environment)
	c.source = source
	c.isHad.Store(source != Nothing)
	c.observer.Changed(change)
}
