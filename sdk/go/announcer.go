package openflagship

import (
	"slices"
	"sync"

	"openflagship/internal/following"
	"openflagship/internal/logs"
)

// Change says what changed: the keys of flags, or any where that is not known. Neither: only staleness did.
type Change = following.Change

const mostConnections = 100

// announcer tells listeners what changed, after the change, in a goroutine that lasts only while there is something to
// tell: a slow or failing listener holds up nothing.
type announcer struct {
	voice *logs.Voice

	mutex        sync.Mutex
	onChange     []*func(Change)
	onConnection []*func(string)
	change       *Change
	connections  []string
	isTelling    bool
	isOver       bool
}

// end tells nobody of what is to come: the client is closed.
func (a *announcer) end() {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.isOver = true
}

func (a *announcer) listen(listener func(Change)) (end func()) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	own := &listener
	a.onChange = append(slices.Clone(a.onChange), own)
	return func() {
		a.mutex.Lock()
		defer a.mutex.Unlock()
		a.onChange = without(slices.Clone(a.onChange), own)
	}
}

func (a *announcer) listenToConnection(listener func(string)) (end func()) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	own := &listener
	a.onConnection = append(slices.Clone(a.onConnection), own)
	return func() {
		a.mutex.Lock()
		defer a.mutex.Unlock()
		a.onConnection = without(slices.Clone(a.onConnection), own)
	}
}

// changed notes a change. What waits becomes one with it.
func (a *announcer) changed(change Change) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if len(a.onChange) == 0 || a.isOver {
		return
	}
	if a.change == nil {
		a.change = &Change{}
	}
	a.change.IsAny = a.change.IsAny || change.IsAny
	for _, key := range change.Keys {
		if !slices.Contains(a.change.Keys, key) {
			a.change.Keys = append(a.change.Keys, key)
		}
	}
	a.begin()
}

func (a *announcer) connectionIs(connection string) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if len(a.onConnection) == 0 || a.isOver {
		return
	}
	a.connections = append(a.connections, connection)
	if len(a.connections) > mostConnections {
		a.connections = a.connections[1:]
	}
	a.begin()
}

func (a *announcer) begin() {
	if !a.isTelling {
		a.isTelling = true
		go a.tell()
	}
}

func (a *announcer) tell() {
	for {
		a.mutex.Lock()
		change, connections := a.change, a.connections
		onChange, onConnection := a.onChange, a.onConnection
		a.change, a.connections = nil, nil
		if change == nil && len(connections) == 0 {
			a.isTelling = false
			a.mutex.Unlock()
			return
		}
		a.mutex.Unlock()
		for _, connection := range connections {
			for _, listener := range onConnection {
				a.voice.Guard("a listener to connections failed", func() { (*listener)(connection) })
			}
		}
		for _, listener := range onChange {
			if change != nil {
				a.voice.Guard("a listener to changes failed", func() { (*listener)(*change) })
			}
		}
	}
}
