// Package logs is where the SDK says what went wrong. Neither keys nor secrets are ever in it.
package logs

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

const mostSaid = 1000

// Voice is the logger of one client. A logger that fails is foreign code, and changes nothing.
type Voice struct {
	logger *slog.Logger
	key    string
	mutex  sync.Mutex
	said   map[string]bool
}

// New is a voice that never says the key; without a logger it speaks to slog's default one.
func New(logger *slog.Logger, key string) *Voice {
	return &Voice{logger: logger, key: key, said: map[string]bool{}}
}

// Hidden is a text without the key: a server may repeat what it was sent.
func (v *Voice) Hidden(text string) string {
	if v.key == "" {
		return text
	}
	return strings.ReplaceAll(text, v.key, "…")
}

// Warn says what went wrong.
func (v *Voice) Warn(format string, arguments ...any) {
	defer func() { _ = recover() }()
	logger := v.logger
	if logger == nil {
		logger = slog.Default()
	}
	logger.Warn("openflagship: " + v.Hidden(fmt.Sprintf(format, arguments...)))
}

// WarnOnce warns once about one subject.
func (v *Voice) WarnOnce(subject, format string, arguments ...any) {
	v.mutex.Lock()
	isNew := !v.said[subject] && len(v.said) < mostSaid
	if isNew {
		v.said[subject] = true
	}
	v.mutex.Unlock()
	if isNew {
		v.Warn(format, arguments...)
	}
}

// Guard runs foreign code. What it panics with is warned about.
func (v *Voice) Guard(what string, call func()) {
	defer func() {
		if problem := recover(); problem != nil {
			v.Warn("%s: %v", what, problem)
		}
	}()
	call()
}
