package openflagship

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"openflagship/internal/logs"
	"openflagship/internal/transport"
)

// demand is the mode in which nothing runs in the background: a call begins a refresh of what is too old. In other
// modes there is none.
type demand struct {
	voice   *logs.Voice
	fetch   func(context.Context) bool
	every   time.Duration
	context context.Context
	// Unix nanoseconds.
	notBefore atomic.Int64

	mutex      sync.Mutex
	backoff    transport.Backoff
	refreshing chan struct{}
}

// begin begins a refresh where it is due; evaluation does not wait for it.
func (d *demand) begin() {
	if d != nil && time.Now().UnixNano() >= d.notBefore.Load() {
		d.start(false)
	}
}

// start gives what is closed once the present refresh is done; nil where none is due. However many ask at once, the
// server is asked once.
func (d *demand) start(isForced bool) <-chan struct{} {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if d.refreshing != nil {
		return d.refreshing
	}
	isDue := time.Now().UnixNano() >= d.notBefore.Load()
	if (!isDue && !isForced) || d.context.Err() != nil {
		return nil
	}
	done := make(chan struct{})
	d.refreshing = done
	// Evaluations need not ask for the lock meanwhile.
	d.notBefore.Store(math.MaxInt64)
	go func() {
		defer close(done)
		isGood := false
		d.voice.Guard("a bug in openflagship", func() { isGood = d.fetch(d.context) })
		d.mutex.Lock()
		defer d.mutex.Unlock()
		pause := d.every
		if isGood {
			d.backoff.Reset()
		} else {
			pause = d.backoff.Next()
		}
		d.notBefore.Store(time.Now().Add(pause).UnixNano())
		d.refreshing = nil
	}()
	return done
}

// refresh refreshes where it is due, and waits for it as long as the context.
func (d *demand) refresh(ctx context.Context, isForced bool) {
	if d == nil {
		return
	}
	if done := d.start(isForced); done != nil {
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
}

// wait waits for the end of a refresh that is under way.
func (d *demand) wait(ctx context.Context) {
	if d == nil {
		return
	}
	d.mutex.Lock()
	done := d.refreshing
	d.mutex.Unlock()
	if done != nil {
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
}
