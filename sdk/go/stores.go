package openflagship

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// Kept is what a store holds.
type Kept struct {
	Content string
	// Age is for how long the store has had it.
	Age time.Duration
}

// Store keeps the last good snapshot. Both methods may be slow and may fail; a failure costs a warning.
type Store interface {
	// Load gives nil where nothing is kept.
	Load(ctx context.Context) (*Kept, error)
	Save(ctx context.Context, content string, version int64) error
}

// FileStore is a file that is replaced as a whole: a reader finds the old snapshot or the new one, never half of one.
type FileStore struct{ Path string }

// problem is why it cannot work.
func (s FileStore) problem() string {
	if s.Path == "" {
		return "Path is empty; give a file's, or no store"
	}
	return ""
}

// Load reads the file.
func (s FileStore) Load(context.Context) (*Kept, error) {
	content, err := os.ReadFile(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found, err := os.Stat(s.Path)
	if err != nil {
		return nil, err
	}
	return &Kept{string(content), max(0, time.Since(found.ModTime()))}, nil
}

// Save replaces the file. It is readable by its owner alone: rules may name users.
func (s FileStore) Save(_ context.Context, content string, _ int64) (err error) {
	folder := filepath.Dir(s.Path)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	beside, err := os.CreateTemp(folder, filepath.Base(s.Path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(beside.Name())
		}
	}()
	_, err = beside.WriteString(content)
	err = errors.Join(err, beside.Sync(), beside.Close())
	if err != nil {
		return err
	}
	return os.Rename(beside.Name(), s.Path)
}

// MemoryStore is memory that the clients of one process share, such as those of a test.
type MemoryStore struct {
	mutex   sync.Mutex
	content string
	version int64
	at      time.Time
}

// Load gives what was saved.
func (s *MemoryStore) Load(context.Context) (*Kept, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.at.IsZero() {
		return nil, nil
	}
	return &Kept{s.content, time.Since(s.at)}, nil
}

// Save keeps the later version.
func (s *MemoryStore) Save(_ context.Context, content string, version int64) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.at.IsZero() || version >= s.version {
		s.content, s.version, s.at = content, version, time.Now()
	}
	return nil
}

const saveInRedis = `
if tonumber(redis.call('HGET', KEYS[1], 'version') or '-1') <= tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'version', ARGV[1], 'at', ARGV[2], 'body', ARGV[3])
end
`

// RedisStore is a hash in Redis that a fleet shares, in any language. An earlier version never replaces a later one.
type RedisStore struct {
	// Do sends one command. With github.com/redis/go-redis it is
	// func(ctx context.Context, command ...any) (any, error) { return client.Do(ctx, command...).Result() }.
	Do func(ctx context.Context, command ...any) (any, error)
	// Key is "openflagship:snapshot" unless said otherwise.
	Key string
}

func (s RedisStore) key() string {
	if s.Key == "" {
		return "openflagship:snapshot"
	}
	return s.Key
}

// problem is why it cannot work.
func (s RedisStore) problem() string {
	if s.Do == nil {
		return "Do is nil; give a function that sends a command"
	}
	return ""
}

// Load reads the hash.
func (s RedisStore) Load(ctx context.Context) (*Kept, error) {
	found, err := s.Do(ctx, "HMGET", s.key(), "body", "at")
	if err != nil {
		return nil, err
	}
	fields, _ := found.([]any)
	if len(fields) != 2 || fields[0] == nil || fields[1] == nil {
		return nil, nil
	}
	seconds, err := strconv.ParseFloat(textOf(fields[1]), 64)
	if err != nil {
		return nil, errors.New("the store does not say how old its copy is")
	}
	at := time.UnixMilli(int64(seconds * 1000))
	return &Kept{textOf(fields[0]), max(0, time.Since(at))}, nil
}

// Save writes the hash.
func (s RedisStore) Save(ctx context.Context, content string, version int64) error {
	at := strconv.FormatFloat(float64(time.Now().UnixMilli())/1000, 'f', 3, 64)
	_, err := s.Do(ctx, "EVAL", saveInRedis, "1", s.key(), strconv.FormatInt(version, 10), at, content)
	return err
}

func textOf(given any) string {
	if text, isBytes := given.([]byte); isBytes {
		return string(text)
	}
	return fmt.Sprint(given)
}
