package keeping

import (
	"context"
	"sync"
	"time"

	"openflagship/internal/following"
	"openflagship/internal/logs"
)

const (
	saveEvery = 5 * time.Second
	// The same version is kept again with a later time, so that the next start knows how old it is.
	confirmEvery = time.Minute
	confirmLast  = time.Second
	// For how long the sender waits for a store, and after what time a store that obeys contexts gives up.
	waitAtMost = 500 * time.Millisecond
	saveAtMost = 10 * time.Second
)

// Saving is the part of a store that a keeper needs.
type Saving interface {
	Save(ctx context.Context, content string, version int64) error
}

// Keeper keeps what came from the network. Only its client's sender has it save.
type Keeper struct {
	store         Saving
	configuration *following.Configuration
	fingerprint   string
	voice         *logs.Voice

	mutex        sync.Mutex
	savedVersion int64
	savedAt      time.Time
	due          time.Time
	isSaving     bool
}

// NewKeeper keeps nothing where there is no store.
func NewKeeper(store Saving, configuration *following.Configuration, fingerprint string, voice *logs.Voice) *Keeper {
	return &Keeper{
		store: store, configuration: configuration, fingerprint: fingerprint, voice: voice, savedVersion: -1,
	}
}

// Due is when something has to be kept; false where all is, or nothing came from the network yet.
func (k *Keeper) Due() (time.Time, bool) {
	if k.store == nil {
		return time.Time{}, false
	}
	environment, _, source := k.configuration.Held()
	k.mutex.Lock()
	defer k.mutex.Unlock()
	return k.due, !k.isSaving && source == following.Network && environment.Version() != k.savedVersion
}

// NoteStored notes that this version came from the store, known to be current so long ago, and need not be written back.
func (k *Keeper) NoteStored(version int64, age time.Duration) {
	k.noteSaved(version, time.Now().Add(-age))
}

func (k *Keeper) noteSaved(version int64, confirmedAt time.Time) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	k.savedVersion, k.savedAt = version, confirmedAt
}

// begins says whether this is to be kept now, and puts off the next time. One that hangs is not joined by another.
func (k *Keeper) begins(version int64, confirmedAt time.Time, isLast bool) bool {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	least := confirmEvery
	if isLast {
		least = confirmLast
	}
	if k.isSaving || (time.Now().Before(k.due) && !isLast) {
		return false
	}
	if version == k.savedVersion && !confirmedAt.After(k.savedAt.Add(least)) {
		return false
	}
	k.due, k.isSaving = time.Now().Add(saveEvery), true
	return true
}

func (k *Keeper) confirmedAt() time.Time {
	age, _ := k.configuration.Age()
	return time.Now().Add(-age)
}

// Save keeps what has changed, where it is time. isLast: the client ends.
//
// A store may be foreign code and hang. Then the sender goes on; the copy is a precaution.
func (k *Keeper) Save(ctx context.Context, isLast bool) {
	if k.store == nil {
		return
	}
	environment, proof, source := k.configuration.Held()
	confirmedAt := k.confirmedAt()
	if source != following.Network || !k.begins(environment.Version(), confirmedAt, isLast) {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer k.end()
		limited, cancel := context.WithTimeout(ctx, saveAtMost)
		defer cancel()
		k.voice.Guard("the snapshot could not be stored", func() {
			content, err := Write(environment, proof, k.fingerprint, confirmedAt)
			if err == nil {
				err = k.store.Save(limited, content, environment.Version())
			}
			if err != nil {
				k.voice.Warn("the snapshot could not be stored: %v", err)
				return
			}
			k.noteSaved(environment.Version(), confirmedAt)
		})
	}()
	timer := time.NewTimer(waitAtMost)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

func (k *Keeper) end() {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	k.isSaving = false
}
