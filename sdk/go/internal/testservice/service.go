// Package testservice is the protocol of sdk/conformance/README.md around clients of this module.
package testservice

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"openflagship"
	"openflagship/engine"
)

var (
	mutex   sync.Mutex
	clients = map[string]*openflagship.Client{}
	shared  = &openflagship.MemoryStore{}
	ended   = make(chan struct{})
	// What the program has besides.
	further map[string]Option
)

// Option reads an option of the protocol that not every program has.
type Option func(raw json.RawMessage, into *openflagship.Options) error

// Main serves until it is told to end. A client may be given the further options by their names.
func Main(options map[string]Option) {
	further = options
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("http://%s\n", listener.Addr())
	server := &http.Server{Handler: http.HandlerFunc(serve)}
	go func() { _ = server.Serve(listener) }()
	<-ended
	// The last answer is on its way.
	_ = server.Shutdown(context.Background())
}

type request struct {
	URL, Key, Flag, Event, UserID string
	Options                       map[string]json.RawMessage
	Questions                     []struct {
		Flag       string
		UserID     any
		Attributes map[string]any
		Default    any
	}
	Attributes map[string]any
	Value      *float64
	Properties map[string]any
	Seconds    float64
}

func serve(w http.ResponseWriter, r *http.Request) {
	var asked request
	_ = json.NewDecoder(r.Body).Decode(&asked)
	said, err := answer(r.Method, strings.Split(r.URL.Path, "/")[1:], &asked)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		said = err.Error()
	}
	_ = json.NewEncoder(w).Encode(said)
	if r.Method == http.MethodDelete && r.URL.Path == "/" {
		close(ended)
	}
}

func answer(method string, parts []string, asked *request) (any, error) {
	if parts[0] == "" {
		return nil, nil
	}
	if len(parts) == 1 {
		return create(asked)
	}
	mutex.Lock()
	client := clients[parts[1]]
	if method == http.MethodDelete {
		delete(clients, parts[1])
	}
	mutex.Unlock()
	if method == http.MethodDelete {
		return closed(client), nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(asked.Seconds*float64(time.Second)))
	defer cancel()
	user := openflagship.User{ID: asked.UserID, Attributes: asked.Attributes}
	switch parts[2] {
	case "evaluate":
		return evaluated(client, asked), nil
	case "all":
		values := map[string]any{}
		for key, one := range client.All(user) {
			values[key] = one.Value
		}
		return values, nil
	case "track":
		client.Track(asked.Event, user, openflagship.TrackDetails{Value: asked.Value, Properties: asked.Properties})
		return nil, nil
	case "flush":
		return map[string]bool{"flushed": client.Flush(ctx) == nil}, nil
	case "ready":
		return map[string]any{"servedFrom": client.Ready(ctx)}, nil
	case "close":
		return closed(client), nil
	default:
		return statusOf(client), nil
	}
}

func create(asked *request) (any, error) {
	options, err := optionsOf(asked.Options)
	if err != nil {
		return nil, err
	}
	client, err := openflagship.New(asked.Key, asked.URL, options)
	if err != nil {
		return nil, err
	}
	// What is had at once is served at once; else wait as a service does at its start.
	if options.Mode != openflagship.OnDemand && client.Status().Source == openflagship.FromNothing {
		client.Ready(context.Background())
	}
	mutex.Lock()
	defer mutex.Unlock()
	id := strconv.Itoa(len(clients)) + "-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	clients[id] = client
	return map[string]string{"id": id}, nil
}

// Answer is one in the protocol's form.
type Answer struct {
	Value         any              `json:"value"`
	Variant       string           `json:"variant,omitempty"`
	Reason        engine.Reason    `json:"reason"`
	RuleID        string           `json:"ruleId,omitempty"`
	Experiment    string           `json:"experiment,omitempty"`
	ErrorCode     engine.ErrorCode `json:"errorCode,omitempty"`
	Detail        string           `json:"detail,omitempty"`
	ConfigVersion int64            `json:"configVersion"`
	Stale         bool             `json:"stale"`
}

func evaluated(client *openflagship.Client, asked *request) any {
	// What a handler of a serverless function begins with; in the other modes it waits for nothing.
	_ = client.Refresh(context.Background())
	answers := make([]Answer, len(asked.Questions))
	for i, one := range asked.Questions {
		answers[i] = Answer(client.Detail(one.Flag, openflagship.UserOf(one.UserID, one.Attributes), one.Default))
	}
	return map[string]any{"answers": answers}
}

func statusOf(client *openflagship.Client) any {
	status := client.Status()
	said := map[string]any{
		"connection": status.Connection, "configVersion": status.ConfigVersion, "stale": status.IsStale, "error": nil,
		"eventsSent": status.EventsSent, "eventsDropped": status.EventsDropped, "eventsRejected": status.EventsRejected,
		"eventsLost": status.EventsLost, "eventsPending": status.EventsPending, "instance": status.Instance,
	}
	if status.Error != "" {
		said["error"] = status.Error
	}
	return said
}

func closed(client *openflagship.Client) any {
	_ = client.Close(context.Background())
	mutex.Lock()
	isAlone := true
	for _, one := range clients {
		isAlone = isAlone && one.Status().Connection == "closed"
	}
	mutex.Unlock()
	left := []string{}
	// A connection's goroutines end a moment after it is closed.
	for try := 0; isAlone && try < 200; try++ {
		if left = lasting(); len(left) == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return map[string]any{"left": left}
}

// lasting names the goroutines that the SDK has begun and not ended, its connections' included.
func lasting() []string {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	left := []string{}
	for _, stack := range strings.Split(string(stacks), "\n\n") {
		isOurs := strings.Contains(stack, "openflagship/internal/following") || strings.Contains(stack, "(*persistConn)") ||
			strings.Contains(stack, "google.golang.org/grpc") || strings.Contains(stack, "openflagship/internal/sending") || strings.Contains(stack, "openflagship.(*Client)")
		if isOurs && !strings.Contains(stack, "testservice.closed") {
			left = append(left, stack)
		}
	}
	return left
}

func optionsOf(given map[string]json.RawMessage) (openflagship.Options, error) {
	o := openflagship.Options{Logger: slog.New(slog.NewTextHandler(nowhere{}, nil))}
	durations := map[string]*time.Duration{
		"startWait": &o.StartWait, "poll": &o.PollInterval, "pollAfter": &o.PollAfter, "staleAfter": &o.StaleAfter,
		"connect": &o.ConnectTimeout, "answer": &o.AnswerTimeout, "silence": &o.SilenceTimeout,
		"firstBackoff": &o.FirstPause, "mostBackoff": &o.MostPause, "mostRefused": &o.MostRefusedPause,
		"healthy": &o.HealthyAfter, "flush": &o.FlushInterval, "usage": &o.UsageInterval, "closeWait": &o.CloseWait,
	}
	others := map[string]any{
		"mode": &o.Mode, "streamUrl": &o.StreamURL, "signingSecret": &o.SigningSecret, "caFile": &o.CAFile,
		"proxy": &o.Proxy, "instance": &o.Instance, "flushCount": &o.FlushCount, "mostEvents": &o.MostEvents,
	}
	for name, raw := range given {
		seconds := 0.0
		into, isKnown := others[name]
		isSending := true
		switch {
		case isKnown:
		case further[name] != nil:
			if err := further[name](raw, &o); err != nil {
				return o, err
			}
			continue
		case name == "bootstrap":
			o.Bootstrap = raw
			continue
		case name == "isSendingEvents":
			into = &isSending
		case name == "store":
			store, err := storeOf(raw)
			if err != nil {
				return o, err
			}
			o.Store = store
			continue
		case durations[strings.TrimSuffix(name, "Seconds")] != nil:
			into = &seconds
		default:
			return o, fmt.Errorf("no such option: %s", name)
		}
		if err := json.Unmarshal(raw, into); err != nil {
			return o, err
		}
		if duration := durations[strings.TrimSuffix(name, "Seconds")]; duration != nil {
			*duration = time.Duration(seconds * float64(time.Second))
		}
		o.DisableEvents = o.DisableEvents || !isSending
	}
	return o, nil
}

type nowhere struct{}

func (nowhere) Write(text []byte) (int, error) { return len(text), nil }

func storeOf(raw json.RawMessage) (openflagship.Store, error) {
	var given struct{ Kind, Path, Socket, Key string }
	if err := json.Unmarshal(raw, &given); err != nil {
		return nil, err
	}
	switch given.Kind {
	case "memory":
		return shared, nil
	case "file":
		return openflagship.FileStore{Path: given.Path}, nil
	}
	return openflagship.RedisStore{Key: given.Key, Do: func(ctx context.Context, command ...any) (any, error) {
		return askRedis(given.Socket, command)
	}}, nil
}

// askRedis sends one command to Redis over a connection of its own, in its protocol's plainest form.
func askRedis(socket string, command []any) (any, error) {
	connection, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	fmt.Fprintf(connection, "*%d\r\n", len(command))
	for _, one := range command {
		text := fmt.Sprint(one)
		fmt.Fprintf(connection, "$%d\r\n%s\r\n", len(text), text)
	}
	return readRedis(bufio.NewReader(connection))
}

func readRedis(reader *bufio.Reader) (any, error) {
	line, err := reader.ReadString('\n')
	if err != nil {
		return nil, err
	}
	size, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
	switch {
	case line[0] == '-':
		return nil, fmt.Errorf("redis: %s", line[1:])
	case line[0] == '*':
		items := make([]any, size)
		for i := range items {
			if items[i], err = readRedis(reader); err != nil {
				return nil, err
			}
		}
		return items, nil
	case line[0] == '$' && size >= 0:
		content := make([]byte, size+2)
		for at := 0; at < len(content); {
			count, err := reader.Read(content[at:])
			if err != nil {
				return nil, err
			}
			at += count
		}
		return content[:size], nil
	}
	return nil, nil
}
