// Package settings has the options of a client, once they are checked and none is left out.
package settings

import "time"

// Mode is how a client is kept current.
type Mode string

// The modes of a client.
const (
	Stream   Mode = "stream"
	Poll     Mode = "poll"
	OnDemand Mode = "on_demand"
	Offline  Mode = "offline"
)

// Settings are those of the package openflagship's Options.
type Settings struct {
	Mode          Mode
	StreamURL     string
	SigningSecret string
	HashKey       string
	BeforeSend    func(event map[string]any) map[string]any
	IsSending     bool

	StartWait   time.Duration
	Poll        time.Duration
	PollAfter   time.Duration
	StaleAfter  time.Duration
	Connect     time.Duration
	Answer      time.Duration
	Silence     time.Duration
	FirstPause  time.Duration
	MostPause   time.Duration
	MostRefused time.Duration
	Healthy     time.Duration
	Flush       time.Duration
	Usage       time.Duration
	CloseWait   time.Duration

	FlushCount int
	MostEvents int
}
