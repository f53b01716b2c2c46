// Calls a gRPC method at a steady rate, whether or not earlier calls are back. Lines of standard input are messages in
// hexadecimal, sent in turn. It prints {failed, refusal, latencies}: milliseconds from when each call was due, sorted.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"flag"
	"log"
	"os"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// asItIs sends and takes bytes. Servers see the usual content type.
type asItIs struct{}

func (asItIs) Name() string                        { return "proto" }
func (asItIs) Marshal(value any) ([]byte, error)   { return *value.(*[]byte), nil }
func (asItIs) Unmarshal(data []byte, to any) error { *to.(*[]byte) = slices.Clone(data); return nil }

type outcome struct {
	Failed    int       `json:"failed"`
	Refusal   string    `json:"refusal"`
	Latencies []float64 `json:"latencies"`
}

func main() {
	address := flag.String("address", "127.0.0.1:8013", "host:port")
	method := flag.String("method", "", "/package.Service/Method")
	rate := flag.Int("rate", 2000, "calls a second")
	warm := flag.Float64("warm", 3, "seconds that are not counted")
	seconds := flag.Float64("seconds", 20, "seconds that are")
	count := flag.Int("connections", 8, "connections")
	flag.Parse()
	messages := read()
	connections := make([]*grpc.ClientConn, *count)
	for number := range connections {
		made, err := grpc.NewClient(*address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			log.Fatal(err)
		}
		connections[number] = made
		var answer []byte
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		err = made.Invoke(ctx, *method, &messages[0], &answer, grpc.ForceCodec(asItIs{}), grpc.WaitForReady(true))
		cancel()
		if err != nil {
			log.Fatal(err)
		}
	}
	steady(connections, *method, messages, *rate, *warm)
	if err := json.NewEncoder(os.Stdout).Encode(steady(connections, *method, messages, *rate, *seconds)); err != nil {
		log.Fatal(err)
	}
}

func read() [][]byte {
	var messages [][]byte
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		message, err := hex.DecodeString(lines.Text())
		if err != nil {
			log.Fatal(err)
		}
		messages = append(messages, message)
	}
	if len(messages) == 0 {
		log.Fatal("standard input has no message")
	}
	return messages
}

func steady(connections []*grpc.ClientConn, method string, messages [][]byte, rate int, seconds float64) outcome {
	total := int(float64(rate) * seconds)
	took, failures := make([]float64, total), make([]error, total)
	var calls sync.WaitGroup
	began := time.Now()
	for number := range total {
		due := began.Add(time.Duration(float64(number) / float64(rate) * float64(time.Second)))
		time.Sleep(time.Until(due))
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			var answer []byte
			message := messages[number%len(messages)]
			failures[number] = connections[number%len(connections)].Invoke(
				ctx, method, &message, &answer, grpc.ForceCodec(asItIs{}))
			took[number] = float64(time.Since(due)) / float64(time.Millisecond)
		})
	}
	calls.Wait()
	var found outcome
	for number, err := range failures {
		if err != nil {
			found.Failed, found.Refusal = found.Failed+1, err.Error()
		} else {
			found.Latencies = append(found.Latencies, took[number])
		}
	}
	slices.Sort(found.Latencies)
	return found
}
