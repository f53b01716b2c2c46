package openflagship

import (
	"context"
	"errors"
	"fmt"
	"time"

	"openflagship/internal/following"
)

// Source is where the configuration came from.
type Source = following.Source

// The sources. With Nothing callers get their defaults.
const (
	FromNothing   = following.Nothing
	FromBootstrap = following.Bootstrap
	FromStore     = following.Store
	FromNetwork   = following.Network
)

// Status is a client's present state, for health checks and people.
type Status struct {
	// Connection is streaming, polling, reconnecting, starting, refused, offline, on_demand or closed.
	Connection    string
	Source        Source
	ConfigVersion int64
	IsStale       bool
	// Age is since when the configuration was last known to be current; negative where it never was.
	Age        time.Duration
	Flags      int
	Reconnects int
	// Error is what went wrong last; empty where nothing is.
	Error string
	// EventsPending wait to be sent; EventsDropped found the queue full; EventsRejected the server refused; EventsLost
	// could not be sent before the end, or were no use to the server.
	EventsPending, EventsSent, EventsDropped, EventsRejected, EventsLost int
	Instance                                                             string
}

// Status is the present state, from memory.
func (c *Client) Status() Status {
	if c.settings.Mode == OnDemand || c.isClosing.Load() {
		c.configuration.CheckStaleness()
	}
	environment, _, source := c.configuration.Held()
	state, failure, reconnects := c.synchroniser.State()
	age, isKnown := c.configuration.Age()
	if !isKnown {
		age = -1
	}
	counts := c.sender.Counts()
	connection := string(state)
	switch {
	case c.isClosing.Load():
		connection = "closed"
	case c.settings.Mode == Offline, c.settings.Mode == OnDemand && source == FromNothing && state == following.Starting:
		connection = string(c.settings.Mode)
	}
	if failure == "" {
		failure = counts.Failure
	}
	return Status{
		Connection: connection, Source: source, ConfigVersion: environment.Version(), IsStale: environment.IsStale(),
		Age: age, Flags: environment.Size(), Reconnects: reconnects, Error: failure, EventsPending: counts.Pending,
		EventsSent: counts.Sent, EventsDropped: int(c.queue.Dropped()), EventsRejected: counts.Rejected,
		EventsLost: counts.Lost, Instance: c.instance,
	}
}

// String says the state in a line; no secret is in it.
func (c *Client) String() string {
	s := c.Status()
	return fmt.Sprintf("openflagship client (%s, version %d, from %s)", s.Connection, s.ConfigVersion, s.Source)
}

// Ready waits for the network, as long as the context has a deadline for, and else for StartWait; it says what is served
// from. It waits no longer once the server has refused the key. What a store keeps is read in any case.
func (c *Client) Ready(ctx context.Context) Source {
	ctx = lastingIfNil(ctx)
	if _, hasDeadline := ctx.Deadline(); !hasDeadline {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.settings.StartWait)
		defer cancel()
	}
	c.waitForLoad(ctx)
	c.demand.refresh(ctx, false)
	for c.settings.Mode != OnDemand {
		next := c.news.wait()
		if c.isSettled() || ctx.Err() != nil {
			break
		}
		select {
		case <-next:
		case <-ctx.Done():
		}
	}
	return c.configuration.Source()
}

func (c *Client) isSettled() bool {
	state, _, _ := c.synchroniser.State()
	isOver := c.isClosing.Load() || c.settings.Mode == Offline
	return isOver || state == following.Refused || c.configuration.Source() == FromNetwork
}

// Refresh, in the mode OnDemand, asks for the configuration where the present one is older than PollInterval, and waits
// for it. In other modes it asks nobody. The error says why the configuration may be out of date.
func (c *Client) Refresh(ctx context.Context) error {
	if c.isClosing.Load() && c.settings.Mode != Offline {
		return errClosed
	}
	if c.settings.Mode == OnDemand {
		ctx, cancel := context.WithTimeout(lastingIfNil(ctx), c.settings.Answer)
		defer cancel()
		c.demand.refresh(ctx, false)
		c.configuration.CheckStaleness()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	_, failure, _ := c.synchroniser.State()
	if failure != "" {
		return errors.New("openflagship: " + failure)
	}
	if !c.configuration.IsHad() && c.settings.Mode != Offline {
		return errors.New("openflagship: no configuration was had yet")
	}
	return nil
}

// Flush sends the waiting events; the error says that some still wait when the context ends. A closed client sends none.
func (c *Client) Flush(ctx context.Context) error {
	ctx = lastingIfNil(ctx)
	if c.isClosing.Load() {
		return errClosed
	}
	switch c.settings.Mode {
	case OnDemand:
		// Close ends it: it sends what is left by itself.
		flushing, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(c.demand.context, cancel)()
		c.sendAlone(flushing, func() { c.sender.RunFlush(flushing) })
	case Stream, Poll:
		select {
		case <-c.sender.Flush():
		case <-ctx.Done():
		}
	}
	counts := c.sender.Counts()
	switch {
	case counts.Pending == 0:
		return nil
	case counts.Failure != "":
		return errors.New("openflagship: " + counts.Failure)
	default:
		return fmt.Errorf("openflagship: %d events still wait", counts.Pending)
	}
}

// OnChange calls the listener after each change. Call what is returned to end that.
func (c *Client) OnChange(listener func(Change)) (end func()) { return c.announcer.listen(listener) }

// OnConnection calls the listener with each new Status().Connection. Call what is returned to end that.
func (c *Client) OnConnection(listener func(connection string)) (end func()) {
	return c.announcer.listenToConnection(listener)
}
