package sending

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"openflagship/internal/transport"
)

const packedFrom = 1024

// Poster posts to the platform: events, summaries and acknowledgements.
type Poster struct {
	endpoint transport.Endpoint
	header   http.Header
	way      *transport.Way
}

// NewPoster fails for an address that is none.
func NewPoster(address string, header http.Header, way *transport.Way) (*Poster, error) {
	endpoint, err := transport.EndpointOf(address)
	header = header.Clone()
	header.Set("Content-Type", "application/json")
	return &Poster{endpoint, header, way}, err
}

// post posts JSON below /api/, a large one packed. payloadID is the same on every attempt; empty for none. It fails
// where nothing answers.
func (p *Poster) post(
	ctx context.Context, path string, body []byte, within time.Duration, payloadID string,
) (*transport.Response, error) {
	header := p.header.Clone()
	if payloadID != "" {
		header.Set("Idempotency-Key", payloadID)
	}
	if len(body) >= packedFrom {
		var packed bytes.Buffer
		// The fastest level: events in one batch are alike anyway.
		writer, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
		if err != nil {
			return nil, err
		}
		if _, err := writer.Write(body); err != nil {
			return nil, err
		}
		if err := writer.Close(); err != nil {
			return nil, err
		}
		body = packed.Bytes()
		header.Set("Content-Encoding", "gzip")
	}
	ctx, cancel := context.WithTimeout(ctx, 2*within)
	defer cancel()
	return p.way.Ask(ctx, http.MethodPost, p.endpoint.At("/api/"+path), header, body, within)
}

// receiptOf is the refusals of a batch that was taken, each as text; false for an answer that is no receipt, such as a
// login page's.
func receiptOf(response *transport.Response) ([]string, bool) {
	if response.Status != http.StatusAccepted {
		return nil, false
	}
	var found struct {
		Accepted *int64            `json:"accepted"`
		Rejected []json.RawMessage `json:"rejected"`
	}
	if json.Unmarshal(response.Body, &found) != nil || found.Accepted == nil {
		return nil, false
	}
	var refused []string
	for _, raw := range found.Rejected {
		var one transport.Problem
		if json.Unmarshal(raw, &one) == nil {
			refused = append(refused, transport.Short(one.Code+": "+one.Detail, 300))
		}
	}
	return refused, true
}
