package following

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"openflagship/engine"
	"openflagship/internal/transport"
)

// SnapshotError says that a snapshot cannot be used, and why.
type SnapshotError struct{ text string }

func (e *SnapshotError) Error() string { return e.text }

// A change cannot be applied by itself, so that the whole snapshot has to be fetched.
type resyncNeededError struct{ text string }

func (e *resyncNeededError) Error() string { return e.text }

// Proof is a snapshot as its maker signed it: what is kept with its signatures can be checked again.
type Proof struct {
	Body       []byte
	Signatures []string
}

// ParseSnapshot is the environment of a snapshot's text. previous is as for engine.Parse. It fails with a SnapshotError.
func ParseSnapshot(text []byte, previous *engine.Environment) (*engine.Environment, error) {
	environment, err := engine.Parse(text, previous)
	switch {
	case errors.Is(err, engine.ErrNotJSON):
		return nil, &SnapshotError{err.Error()}
	case err != nil:
		return nil, &SnapshotError{fmt.Sprintf("this is no snapshot: %v", err)}
	}
	return environment, nil
}

// CheckSignature fails with a SnapshotError unless a signature is "sha256=" and the HMAC of the text in hexadecimal.
func CheckSignature(text []byte, secret string, signatures []string) error {
	code := hmac.New(sha256.New, []byte(secret))
	code.Write(text)
	expected := "sha256=" + hex.EncodeToString(code.Sum(nil))
	for _, signature := range signatures {
		if hmac.Equal([]byte(strings.TrimSpace(signature)), []byte(expected)) {
			return nil
		}
	}
	return &SnapshotError{"the snapshot's signature is missing or wrong"}
}

const (
	snapshotKind   = "snapshot"
	killSwitchKind = "kill_switch"
	segmentKind    = "segment_updated"
)

func isAboutFlag(kind string) bool {
	return kind == "flag_updated" || kind == "flag_archived" || kind == killSwitchKind
}

// isKnownKind says whether this SDK knows the kind. Others are passed over.
func isKnownKind(kind string) bool {
	return kind == snapshotKind || kind == segmentKind || isAboutFlag(kind)
}

// versionOf is the configuration version that an event brings; false for none. It fails for the id of a known kind
// that is no version.
func versionOf(event transport.Event) (int64, bool, error) {
	if !event.HasID {
		return 0, false, nil
	}
	if version, err := strconv.ParseUint(event.ID, 10, 63); err == nil && len(event.ID) <= 15 {
		return int64(version), true, nil
	}
	if isKnownKind(event.Kind) {
		return 0, false, &resyncNeededError{"an event's id is no version"}
	}
	return 0, false, nil
}

// changeIn is the key and the document of an event about a flag or a segment; nil where that is no longer served.
func changeIn(event transport.Event) (key string, document []byte, err error) {
	var members map[string]json.RawMessage
	if json.Unmarshal(event.Data, &members) != nil {
		return "", nil, &resyncNeededError{"an event is no JSON object"}
	}
	var name *string
	if json.Unmarshal(members["key"], &name) != nil || name == nil {
		return "", nil, &resyncNeededError{"an event names no flag and no segment"}
	}
	if string(members["deleted"]) == "true" {
		return *name, nil, nil
	}
	return *name, event.Data, nil
}

// signedSnapshotIn is the proof of these events where they are one signed snapshot.
func signedSnapshotIn(events []transport.Event, secret string) *Proof {
	if len(events) != 1 || events[0].Kind != snapshotKind {
		return nil
	}
	only := events[0]
	if CheckSignature(only.Data, secret, only.Signatures) != nil {
		return nil
	}
	return &Proof{only.Data, only.Signatures}
}
