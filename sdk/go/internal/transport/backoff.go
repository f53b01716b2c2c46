package transport

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is how long to wait after failures. Jitter keeps the clients of a restarted server from coming all at once.
type Backoff struct {
	First, Most time.Duration
	Failures    int
}

// Reset lets pauses start anew.
func (b *Backoff) Reset() { b.Failures = 0 }

// Next is the next pause. Each failure doubles the ceiling; a pause is random, between half of the ceiling and all of
// it.
func (b *Backoff) Next() time.Duration {
	ceiling := b.Most
	if doublings := min(b.Failures, 16); 0 < b.First && b.First <= b.Most>>doublings {
		ceiling = b.First << doublings
	}
	b.Failures++
	return Jittered(ceiling, 0.5, 1)
}

// Jittered is a random part of a duration, from the least to the most.
func Jittered(d time.Duration, least, most float64) time.Duration {
	return time.Duration(float64(d) * (least + (most-least)*rand.Float64()))
}

// Pauses are pauses that Wake ends. A wake while nobody waits ends the next pause at once.
type Pauses struct{ woken chan struct{} }

// NewPauses is ready for one waiter.
func NewPauses() *Pauses { return &Pauses{make(chan struct{}, 1)} }

// Wake ends the present pause, or the next one.
func (p *Pauses) Wake() {
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

// Wait waits so long, until it is woken, or until the context ends.
func (p *Pauses) Wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(max(0, d))
	defer timer.Stop()
	select {
	case <-p.woken:
	case <-timer.C:
	case <-ctx.Done():
	}
}
