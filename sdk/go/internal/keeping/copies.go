// Package keeping keeps the last good snapshot in a store, for starts without the server.
package keeping

import (
	"bytes"
	"encoding/json"
	"time"

	"openflagship/engine"
	"openflagship/internal/following"
)

const format = "openflagship-snapshot-1"

// kept is the form in which a store has a snapshot: with its signatures, and with a mark of the key it was fetched with.
// SDKs of other languages read it too.
type kept struct {
	Format string `json:"format"`
	Key    string `json:"key"`
	// Unix seconds.
	ConfirmedAt *float64 `json:"confirmedAt"`
	Signatures  []string `json:"signatures"`
	Snapshot    *string  `json:"snapshot"`
}

// Copy is a kept snapshot that may be used.
type Copy struct {
	Environment *engine.Environment
	// ConfirmedAt is when it was last known to be current; zero where that was not kept.
	ConfirmedAt time.Time
	Proof       *following.Proof
}

type copyError string

func (e copyError) Error() string { return string(e) }

// Write is the text for a store. Where there is a proof, the text that was signed is kept in place of the snapshot.
func Write(environment *engine.Environment, proof *following.Proof, fingerprint string, confirmedAt time.Time) (string, error) {
	found := kept{Format: format, Key: fingerprint, Signatures: []string{}}
	at := float64(confirmedAt.UnixMilli()) / 1000
	found.ConfirmedAt = &at
	snapshot := ""
	if proof != nil {
		snapshot, found.Signatures = string(proof.Body), proof.Signatures
	} else {
		snapshot = string(environment.Document())
	}
	found.Snapshot = &snapshot
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(found)
	return text.String(), err
}

// Read fails for a copy that is of another key's environment, altered, or of a form not known.
//
// A bare snapshot, such as one that "flagship snapshot save" wrote, will do where no signature is asked for.
func Read(content, secret, fingerprint string) (*Copy, error) {
	var found kept
	// A look at the head spares reading a large bare snapshot twice.
	if bytes.Contains([]byte(content[:min(200, len(content))]), []byte(format)) {
		if json.Unmarshal([]byte(content), &found) != nil {
			return nil, copyError("the kept copy is no JSON, or of a form that is not known")
		}
	}
	if found.Format != format {
		if secret != "" {
			return nil, copyError("the kept copy bears no signature")
		}
		environment, err := following.ParseSnapshot([]byte(content), nil)
		return &Copy{Environment: environment}, err
	}
	if found.Snapshot == nil {
		return nil, copyError("the kept copy is of a form that is not known")
	}
	if fingerprint != "" && found.Key != "" && found.Key != fingerprint {
		return nil, copyError("the kept copy was fetched with another key, so it may be another environment's")
	}
	copied := &Copy{}
	body := []byte(*found.Snapshot)
	if secret != "" {
		if err := following.CheckSignature(body, secret, found.Signatures); err != nil {
			return nil, err
		}
		copied.Proof = &following.Proof{Body: body, Signatures: found.Signatures}
	}
	if found.ConfirmedAt != nil {
		copied.ConfirmedAt = time.UnixMilli(int64(*found.ConfirmedAt * 1000))
	}
	var err error
	copied.Environment, err = following.ParseSnapshot(body, nil)
	return copied, err
}
