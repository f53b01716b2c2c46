// Asks through OpenFeature's flagd provider for Go. Lines of standard input: {port, selector}, then {rows}; of standard
// output: {results} for each, and {event} for each event.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"strings"
	"sync"

	flagd "github.com/open-feature/go-sdk-contrib/providers/flagd/pkg"
	"github.com/open-feature/go-sdk/openfeature"
)

type row struct {
	Type    string         `json:"type"`
	Flag    string         `json:"flag"`
	Default any            `json:"default"`
	Context map[string]any `json:"context"`
}

type result struct {
	Value     any    `json:"value"`
	Variant   string `json:"variant,omitempty"`
	Reason    string `json:"reason"`
	ErrorCode string `json:"errorCode,omitempty"`
}

var saying sync.Mutex

func say(members any) {
	saying.Lock()
	defer saying.Unlock()
	if err := json.NewEncoder(os.Stdout).Encode(members); err != nil {
		panic(err)
	}
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	var about struct {
		Port     uint16 `json:"port"`
		Selector string `json:"selector"`
	}
	read(lines, &about)
	provider, err := flagd.NewProvider(
		flagd.WithRPCResolver(),
		flagd.WithHost("127.0.0.1"),
		flagd.WithPort(about.Port),
		flagd.WithSelector(about.Selector),
		flagd.WithLRUCache(100),
		flagd.WithEventStreamConnectionMaxAttempts(100),
	)
	if err != nil {
		panic(err)
	}
	if err := openfeature.SetProviderAndWait(provider); err != nil {
		panic(err)
	}
	client := openfeature.NewClient("rows")
	for name, kind := range map[string]openfeature.EventType{
		"changed": openfeature.ProviderConfigChange,
		"ready":   openfeature.ProviderReady,
	} {
		heard := func(details openfeature.EventDetails) {
			say(map[string]any{"event": name, "flags": details.FlagChanges})
		}
		client.AddHandler(kind, &heard)
	}
	say(map[string]any{"event": "started"})
	var question struct {
		Rows []row `json:"rows"`
	}
	for read(lines, &question) {
		results := []result{}
		for _, one := range question.Rows {
			results = append(results, ask(client, one))
		}
		say(map[string]any{"results": results})
	}
}

// read takes the next line. It is false at the end.
func read(lines *bufio.Scanner, into any) bool {
	if !lines.Scan() {
		return false
	}
	if err := json.Unmarshal(lines.Bytes(), into); err != nil {
		panic(err)
	}
	return true
}

func ask(client *openfeature.Client, one row) result {
	key := ""
	attributes := map[string]any{}
	for name, value := range one.Context {
		if name == openfeature.TargetingKey {
			key = value.(string)
		} else {
			attributes[name] = value
		}
	}
	about, ctx := openfeature.NewEvaluationContext(key, attributes), context.Background()
	switch one.Type {
	case "boolean":
		found, _ := client.BooleanValueDetails(ctx, one.Flag, one.Default.(bool), about)
		return told(found.Value, found.ResolutionDetail, found.Variant)
	case "string":
		found, _ := client.StringValueDetails(ctx, one.Flag, one.Default.(string), about)
		return told(found.Value, found.ResolutionDetail, found.Variant)
	case "integer":
		found, _ := client.IntValueDetails(ctx, one.Flag, int64(one.Default.(float64)), about)
		return told(found.Value, found.ResolutionDetail, found.Variant)
	case "float":
		found, _ := client.FloatValueDetails(ctx, one.Flag, one.Default.(float64), about)
		return told(found.Value, found.ResolutionDetail, found.Variant)
	default:
		found, _ := client.ObjectValueDetails(ctx, one.Flag, one.Default, about)
		return told(found.Value, found.ResolutionDetail, found.Variant)
	}
}

// The errors that the client returns are in the details as well.
func told(value any, detail openfeature.ResolutionDetail, variant string) result {
	return result{value, variant, strings.ToUpper(string(detail.Reason)), string(detail.ErrorCode)}
}
