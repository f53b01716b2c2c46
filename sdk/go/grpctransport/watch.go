package grpctransport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"openflagship/grpctransport/internal/v1"
)

// The server's first word says whether the stream is open. One that says nothing so long after its head has opened it.
const firstWordWait = time.Second

type received struct {
	message *v1.WatchResponse
	err     error
}

// watch answers `GET stream`.
func watch(ctx context.Context, connection *grpc.ClientConn, request *http.Request) (*http.Response, error) {
	asked := &v1.WatchRequest{
		Instance: request.Header.Get("X-FlagShip-Instance"), Sdk: request.Header.Get("X-FlagShip-SDK"),
	}
	if version, err := strconv.ParseInt(request.Header.Get("Last-Event-ID"), 10, 64); err == nil {
		asked.LastVersion = &version
	}
	ctx, cancel := context.WithCancel(ctx)
	stream, first, err := open(ctx, connection, asked)
	if err != nil {
		cancel()
		return nil, err
	}
	response := answer(request, http.StatusOK, http.Header{"Content-Type": {"text/event-stream"}}, nil)
	response.ContentLength, response.Body = -1, &body{stream: stream, first: first, cancel: cancel}
	return response, nil
}

// open calls, and waits for the head and the first word. It fails where that is a refusal.
func open(
	ctx context.Context, connection *grpc.ClientConn, asked *v1.WatchRequest,
) (grpc.ClientStream, <-chan received, error) {
	stream, err := connection.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/openflagship.v1.Config/Watch")
	if err != nil {
		return nil, nil, err
	}
	// Where they find the stream ended, RecvMsg says why.
	if err := stream.SendMsg(asked); err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	if err := stream.CloseSend(); err != nil {
		return nil, nil, err
	}
	if _, err := stream.Header(); err != nil {
		return nil, nil, err
	}
	words := make(chan received, 1)
	go func() { words <- next(stream) }()
	wait := time.NewTimer(firstWordWait)
	defer wait.Stop()
	select {
	case word := <-words:
		if word.err != nil && word.err != io.EOF {
			return nil, nil, word.err
		}
		words <- word
	case <-wait.C:
	}
	return stream, words, nil
}

func next(stream grpc.ClientStream) received {
	message := &v1.WatchResponse{}
	err := stream.RecvMsg(message)
	return received{message, err}
}

// body is the stream as server-sent events.
type body struct {
	stream grpc.ClientStream
	first  <-chan received
	cancel context.CancelFunc
	rest   bytes.Buffer
}

func (b *body) Read(into []byte) (int, error) {
	for b.rest.Len() == 0 {
		word := received{}
		if b.first != nil {
			word = <-b.first
			b.first = nil
		} else {
			word = next(b.stream)
		}
		if word.err != nil {
			return 0, endOf(word.err)
		}
		write(&b.rest, word.message)
	}
	return b.rest.Read(into)
}

// Close ends the call. It may be called while another goroutine reads.
func (b *body) Close() error {
	b.cancel()
	return nil
}

// endOf is an orderly end where the server ends the stream, as it does for whoever is revoked: the next call says why.
func endOf(err error) error {
	if err == io.EOF {
		return err
	}
	if _, isLost := answerOf(err, nil); isLost == nil {
		return io.EOF
	}
	return fmt.Errorf("gRPC: the stream broke: %s", status.Convert(err).Message())
}

// write appends a message as it stands on the stream over HTTP.
func write(into *bytes.Buffer, message *v1.WatchResponse) {
	if message.RetryMilliseconds != nil {
		fmt.Fprintf(into, "retry: %d\n\n", message.GetRetryMilliseconds())
	}
	// The last word of a process that is replaced says nothing of its age.
	if message.AgeSeconds != nil || message.GetKind() == "" && message.RetryMilliseconds == nil {
		into.WriteString(": keep-alive")
		if message.AgeSeconds != nil {
			into.WriteString(" age=" + seconds(message.GetAgeSeconds()))
		}
		into.WriteString("\n\n")
	}
	if message.GetKind() == "" {
		return
	}
	if message.Version != nil {
		fmt.Fprintf(into, "id: %d\n", message.GetVersion())
	}
	fmt.Fprintf(into, "event: %s\n", line(message.GetKind()))
	for _, one := range message.GetSignatures() {
		fmt.Fprintf(into, "signature: %s\n", line(one))
	}
	for part := range bytes.SplitSeq(message.GetDocument(), []byte("\n")) {
		into.WriteString("data: ")
		into.Write(part)
		into.WriteByte('\n')
	}
	into.WriteByte('\n')
}

// line is text of one line: nothing in it begins another field.
func line(text string) string { return strings.NewReplacer("\r", " ", "\n", " ").Replace(text) }
