// Package openflagship is FlagShip's SDK for Go: feature flags and experiments, evaluated in your process from a
// configuration that is kept current by a stream. No evaluation waits, and none fails.
//
//	client, err := openflagship.New(os.Getenv("FLAGSHIP_SERVER_KEY"), "https://flags.example.com", openflagship.Options{})
//	if err != nil {
//		return err
//	}
//	defer client.Close(context.Background())
//	client.Ready(ctx)
//	if client.IsEnabled("new-checkout", openflagship.User{ID: "user-1"}) {
//		…
//	}
package openflagship

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"openflagship/engine"
	"openflagship/internal/following"
	"openflagship/internal/keeping"
	"openflagship/internal/logs"
	"openflagship/internal/sending"
	"openflagship/internal/settings"
	"openflagship/internal/transport"
)

const (
	mostInstanceCharacters = 100
	afterBug               = 5 * time.Second
	goodbyeWait            = time.Second
)

// Client has the flags of one environment, evaluated in memory. Make one for each process and keep it. All its methods
// may be called by any number of goroutines at once.
type Client struct {
	settings      *settings.Settings
	way           *transport.Way
	voice         *logs.Voice
	configuration *following.Configuration
	synchroniser  *following.Synchroniser
	announcer     *announcer
	queue         *sending.Queue
	usage         *sending.Usage
	sender        *sending.Sender
	keeper        *keeping.Keeper
	demand        *demand
	instance      string
	refused       engine.Refusal
	extras        atomic.Pointer[extras]
	extrasMutex   sync.Mutex

	endFollowing context.CancelFunc
	endSending   context.CancelFunc
	sending      context.Context
	loaded       chan struct{}
	work         sync.WaitGroup
	hasSent      chan struct{}
	sendingAlone chan struct{}
	closing      sync.Once
	isClosing    atomic.Bool
	news         news
}

// New makes a client, which starts and does not wait. It fails for a key, an address or an option that cannot work;
// none of them is ever in the error.
func New(serverKey, address string, options Options) (*Client, error) {
	s, err := options.settled()
	if err != nil {
		return nil, err
	}
	key, err := checkServerKey(serverKey, s.Mode == Offline)
	if err != nil {
		return nil, err
	}
	authorities, err := options.authorities()
	if err != nil {
		return nil, err
	}
	way, err := transport.NewWay(options.Proxy, authorities, s.Connect)
	if err != nil {
		return nil, fmt.Errorf("openflagship: %w", err)
	}
	if options.Transport != nil {
		if err := way.Carry(options.Transport.Carry); err != nil {
			return nil, fmt.Errorf("openflagship: %w", err)
		}
	}
	c := &Client{settings: s, way: way, voice: logs.New(options.Logger, key), usage: sending.NewUsage()}
	c.refused, c.sendingAlone = c.refuse, make(chan struct{}, 1)
	c.instance = instanceOf(options.Instance)
	c.announcer = &announcer{voice: c.voice}
	c.configuration = following.NewConfiguration(s.StaleAfter, following.Observer{
		Changed: c.announcer.changed,
		BecameStale: func(age time.Duration) {
			c.voice.Warn("no news of the configuration for %d s: answers are marked stale", int(age.Seconds()))
		},
		WentBack: func(from, to int64) { c.voice.Warn("the server went back from version %d to %d", from, to) },
	})
	for _, hook := range options.Hooks {
		c.AddHook(hook)
	}
	if err = c.adoptBootstrap(options.Bootstrap); err == nil {
		err = c.connect(address, key, way, options.Store)
	}
	if err != nil {
		way.Close()
		return nil, fmt.Errorf("openflagship: %w", err)
	}
	c.start(options.Store, fingerprintOf(key))
	return c, nil
}

// connect makes what talks to the server.
func (c *Client) connect(address, key string, way *transport.Way, store Store) error {
	header := http.Header{}
	header.Set("Authorization", "Bearer "+key)
	header.Set("User-Agent", "openflagship-"+sdk)
	header.Set("X-FlagShip-Instance", c.instance)
	header.Set("X-FlagShip-SDK", sdk)
	pauses := transport.NewPauses()
	c.queue = sending.NewQueue(c.settings, c.voice, pauses.Wake)
	var err error
	c.synchroniser, err = following.NewSynchroniser(
		c.configuration, address, header, c.settings, way, c.voice.Hidden, following.Follower{
			Applied: func() {
				c.news.tell()
				pauses.Wake()
			},
			ConnectionIs: func(connection following.Connection) {
				c.announcer.connectionIs(string(connection))
				c.news.tell()
			},
			Failed: func(reason string) {
				version := c.configuration.Version()
				c.voice.Warn("no connection to FlagShip: %s; evaluating version %d", reason, version)
			},
		})
	if err != nil {
		return err
	}
	events, err := sending.NewPoster(address, header, way)
	if err != nil {
		return err
	}
	stream := events
	if c.settings.StreamURL != "" {
		if stream, err = sending.NewPoster(c.settings.StreamURL, header, way); err != nil {
			return err
		}
	}
	var saving keeping.Saving
	if store != nil {
		saving = store
	}
	c.keeper = keeping.NewKeeper(saving, c.configuration, fingerprintOf(key), c.voice)
	c.sender = sending.NewSender(sending.Parts{
		Configuration: c.configuration, Queue: c.queue, Usage: c.usage, Keeper: c.keeper, Events: events, Stream: stream,
		Settings: c.settings, Pauses: pauses, Voice: c.voice, Instance: c.instance, SDK: sdk,
	})
	return nil
}

// start begins the work in the background.
func (c *Client) start(store Store, fingerprint string) {
	var follow context.Context
	follow, c.endFollowing = context.WithCancel(context.Background())
	c.sending, c.endSending = context.WithCancel(context.Background())
	c.loaded, c.hasSent = make(chan struct{}), make(chan struct{})
	c.load(follow, store, fingerprint)
	switch c.settings.Mode {
	case OnDemand:
		c.demand = &demand{
			every: c.settings.Poll, context: follow,
			backoff: transport.Backoff{First: c.settings.FirstPause, Most: c.settings.MostPause},
			voice:   c.voice,
			fetch: func(ctx context.Context) bool {
				c.waitForLoad(ctx)
				c.synchroniser.RunOnce(ctx)
				_, failure, _ := c.synchroniser.State()
				return failure == ""
			},
		}
	case Stream, Poll:
		c.configuration.Watch()
		c.work.Add(2)
		go func() {
			defer c.work.Done()
			c.waitForLoad(follow)
			c.lasting(follow, func() { c.synchroniser.Run(follow) })
		}()
		go func() {
			defer c.work.Done()
			defer close(c.hasSent)
			c.lasting(c.sending, func() { c.sender.Run(c.sending) })
		}()
	}
}

// lasting runs the work to its end, and again after a bug in it.
func (c *Client) lasting(ctx context.Context, work func()) {
	for {
		isDone := false
		c.voice.Guard("a bug in openflagship", func() {
			work()
			isDone = true
		})
		if isDone || ctx.Err() != nil {
			return
		}
		transport.NewPauses().Wait(ctx, afterBug)
	}
}

// waitForLoad waits for the store, no longer than for a connection: a store may hang.
func (c *Client) waitForLoad(ctx context.Context) {
	timer := time.NewTimer(c.settings.Connect)
	defer timer.Stop()
	select {
	case <-c.loaded:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// adoptBootstrap fails for a bootstrap that is no snapshot.
func (c *Client) adoptBootstrap(bootstrap []byte) error {
	if bootstrap == nil {
		return nil
	}
	copied, err := keeping.Read(string(bootstrap), "", "")
	if err != nil {
		return fmt.Errorf("Bootstrap: %w", err)
	}
	c.configuration.AdoptBootstrap(copied.Environment, c.settings.Mode == Offline)
	return nil
}

// load serves from what the store keeps, where that is the later. What this process has at once is served from the
// start; another store is read in the background. It may fail; then the client starts without.
func (c *Client) load(ctx context.Context, store Store, fingerprint string) {
	read := func() {
		defer close(c.loaded)
		if store == nil {
			return
		}
		c.voice.Guard("the stored snapshot could not be read", func() {
			kept, err := store.Load(ctx)
			if err == nil && kept != nil {
				err = c.adoptKept(kept, fingerprint)
			}
			if err != nil {
				c.voice.Warn("the stored snapshot could not be read: %v", err)
			}
		})
	}
	switch store.(type) {
	case nil, FileStore, *FileStore, *MemoryStore:
		read()
	default:
		c.work.Add(1)
		go func() {
			defer c.work.Done()
			read()
		}()
	}
}

func (c *Client) adoptKept(kept *Kept, fingerprint string) error {
	copied, err := keeping.Read(kept.Content, c.settings.SigningSecret, fingerprint)
	if err != nil {
		return err
	}
	age := kept.Age
	if !copied.ConfirmedAt.IsZero() {
		age = max(age, time.Since(copied.ConfirmedAt))
	}
	if c.configuration.AdoptKept(copied.Environment, age, c.settings.Mode == Offline, copied.Proof) {
		c.keeper.NoteStored(copied.Environment.Version(), age)
	}
	return nil
}

// Environment is the immutable configuration that evaluations use.
func (c *Client) Environment() *engine.Environment { return c.configuration.Environment() }

// Close sends the waiting events, until the context ends and for at most CloseWait, and ends. It leaves no goroutine, no
// timer and no socket. Evaluation goes on from memory, and events are refused with one warning. The error says what
// could not be sent.
func (c *Client) Close(ctx context.Context) error {
	c.closing.Do(func() { c.close(lastingIfNil(ctx)) })
	counts := c.sender.Counts()
	// Those that still wait are lost too, counted or not: nobody sends them any more.
	if lost := max(counts.Lost, counts.Pending); lost > 0 {
		return fmt.Errorf("openflagship: %d events could not be sent", lost)
	}
	return nil
}

func (c *Client) close(ctx context.Context) {
	c.isClosing.Store(true)
	c.queue.End()
	c.configuration.Unwatch()
	c.endFollowing()
	c.news.tell()
	by := time.Now().Add(c.settings.CloseWait)
	if deadline, hasDeadline := ctx.Deadline(); hasDeadline && deadline.Before(by) {
		by = deadline
	}
	c.sender.End(by)
	// A goodbye, and what is kept, have a moment of their own.
	timer := time.AfterFunc(time.Until(by)+goodbyeWait, c.endSending)
	defer timer.Stop()
	stop := context.AfterFunc(ctx, c.endSending)
	defer stop()
	// A store may be foreign code that obeys no context.
	last, cancel := context.WithDeadline(context.WithoutCancel(ctx), by.Add(2*goodbyeWait))
	defer cancel()
	switch c.settings.Mode {
	case OnDemand:
		c.demand.wait(last)
		c.sendAlone(last, func() { c.sender.Close(c.sending) })
	case Stream, Poll:
		select {
		case <-c.hasSent:
		case <-last.Done():
		}
	}
	c.endSending()
	done := make(chan struct{})
	go func() {
		c.work.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-last.Done():
	}
	c.announcer.end()
	c.way.Close()
}

// sendAlone sends in the mode OnDemand, where no goroutine does, once no other call does, and waits as long as the
// context: BeforeSend may hang, and the server may be away.
func (c *Client) sendAlone(ctx context.Context, send func()) {
	select {
	case c.sendingAlone <- struct{}{}:
	case <-ctx.Done():
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { <-c.sendingAlone }()
		c.voice.Guard("a bug in openflagship", send)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// lastingIfNil is the context, or in place of none one that does not end.
func lastingIfNil(ctx context.Context) context.Context {
	if ctx == nil {
		return context.Background()
	}
	return ctx
}

// news wakes those who wait for a change of state.
type news struct {
	mutex sync.Mutex
	next  chan struct{}
}

func (n *news) wait() <-chan struct{} {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.next == nil {
		n.next = make(chan struct{})
	}
	return n.next
}

func (n *news) tell() {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.next != nil {
		close(n.next)
		n.next = nil
	}
}

// errClosed says that a closed client asks nobody any more.
var errClosed = errors.New("openflagship: the client is closed")

// instanceOf is the name of this process, as a header can carry it.
func instanceOf(given string) string {
	if given == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown"
		}
		id := sending.NewID()
		given = fmt.Sprintf("%s-%d-%s", host, os.Getpid(), id[len(id)-8:])
	}
	name := strings.Map(func(one rune) rune {
		if one < ' ' || one > '~' {
			return '?'
		}
		return one
	}, given)
	return name[:min(len(name), mostInstanceCharacters)]
}
