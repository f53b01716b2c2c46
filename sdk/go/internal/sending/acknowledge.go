package sending

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"openflagship/engine"
	"openflagship/internal/following"
)

const (
	mostKeys = 50
	ackAgain = 10 * time.Second
)

type notUnderstood struct {
	Flags    []string `json:"flags"`
	Segments []string `json:"segments"`
	Count    int      `json:"count"`
}

type acknowledgement struct {
	Instance      string         `json:"instance"`
	SDK           string         `json:"sdk"`
	Version       int64          `json:"version"`
	Features      []string       `json:"features,omitempty"`
	NotUnderstood *notUnderstood `json:"notUnderstood,omitempty"`
	Goodbye       bool           `json:"goodbye,omitempty"`
}

// acknowledge tells the server which version is applied. Only the latest matters, so a failure is retried later.
func (s *Sender) acknowledge(ctx context.Context) {
	environment, _, source := s.Configuration.Held()
	if source != following.Network || environment.Version() == s.ackedVersion || time.Now().Before(s.ackAt) {
		return
	}
	flags, segments := environment.NotUnderstood()
	said := acknowledgement{
		Instance: s.Instance, SDK: s.SDK, Version: environment.Version(), Features: engine.Features,
		NotUnderstood: &notUnderstood{
			flags[:min(mostKeys, len(flags))], segments[:min(mostKeys, len(segments))], len(flags) + len(segments),
		},
	}
	if s.isSaid(ctx, said, s.within()) {
		s.ackedVersion = environment.Version()
	} else {
		s.ackAt = time.Now().Add(ackAgain)
	}
}

func (s *Sender) isSaid(ctx context.Context, said acknowledgement, within time.Duration) bool {
	body, err := json.Marshal(said)
	if err != nil {
		return true
	}
	response, err := s.Stream.post(ctx, "stream/ack", body, within, "")
	// A server without this route, or one that refuses, would do so again: wait for the next version.
	return err == nil && response.Status < 500 && response.Status != http.StatusTooManyRequests
}
