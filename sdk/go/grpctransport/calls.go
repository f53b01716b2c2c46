package grpctransport

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"

	"google.golang.org/grpc"

	"openflagship/grpctransport/internal/v1"
)

var kinds = map[string]v1.EventKind{
	"exposure": v1.EventKind_EVENT_KIND_EXPOSURE, "conversion": v1.EventKind_EVENT_KIND_CONVERSION,
	"metrics": v1.EventKind_EVENT_KIND_METRIC, "usage": v1.EventKind_EVENT_KIND_USAGE,
}

// snapshot answers `GET snapshot`.
func snapshot(ctx context.Context, connection *grpc.ClientConn, request *http.Request) (*http.Response, error) {
	asked := &v1.GetSnapshotRequest{IfNoneMatch: request.Header.Get("If-None-Match")}
	said := &v1.GetSnapshotResponse{}
	if err := connection.Invoke(ctx, "/openflagship.v1.Config/GetSnapshot", asked, said); err != nil {
		return nil, err
	}
	header := http.Header{"Etag": {said.GetEtag()}}
	if said.AgeSeconds != nil {
		header.Set("X-FlagShip-Age", seconds(said.GetAgeSeconds()))
	}
	for i, one := range said.GetSignatures() {
		header.Add([]string{"X-Signature", "X-Signature-Previous"}[min(i, 1)], one)
	}
	if len(said.GetDocument()) == 0 {
		return answer(request, http.StatusNotModified, header, nil), nil
	}
	return answer(request, http.StatusOK, header, said.GetDocument()), nil
}

// ingest answers `POST events/…`: one batch, and its receipt.
func ingest(ctx context.Context, connection *grpc.ClientConn, request *http.Request) (*http.Response, error) {
	body, err := bodyOf(request)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	both := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	stream, err := connection.NewStream(ctx, both, "/openflagship.v1.Events/Ingest")
	if err != nil {
		return nil, err
	}
	batch := &v1.IngestRequest{
		Id: request.Header.Get("Idempotency-Key"), Kind: kinds[path.Base(request.URL.Path)], Body: body,
	}
	// Where it finds the stream ended, RecvMsg says why.
	if err := stream.SendMsg(batch); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	said := &v1.IngestResponse{}
	if err := stream.RecvMsg(said); err != nil {
		return nil, err
	}
	// The call ends in order. What it says after its receipt changes nothing.
	_ = stream.RecvMsg(&v1.IngestResponse{})
	if said.GetError() != nil {
		return refusal(request, statusOf(said.GetError()), said.GetError()), nil
	}
	receipt, err := json.Marshal(map[string]any{
		"accepted": said.GetAccepted(), "rejected": remarks(said.GetRejected()), "warnings": remarks(said.GetWarnings()),
	})
	if err != nil {
		return nil, err
	}
	return answer(request, http.StatusAccepted, http.Header{}, receipt), nil
}

func remarks(found []*v1.EventRemark) []any {
	said := []any{}
	for _, one := range found {
		said = append(said, map[string]any{"index": one.GetIndex(), "code": one.GetCode(), "detail": one.GetDetail()})
	}
	return said
}

// bodyOf is the request's whole body as JSON: servers take no message that is packed.
func bodyOf(request *http.Request) ([]byte, error) {
	defer request.Body.Close()
	var reader io.Reader = request.Body
	if request.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(request.Body)
		if err != nil {
			return nil, err
		}
		reader = unpacked
	}
	return io.ReadAll(reader)
}

func seconds(age float64) string { return strconv.FormatFloat(age, 'f', 3, 64) }

func answer(request *http.Request, status int, header http.Header, body []byte) *http.Response {
	return &http.Response{
		StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), Proto: "HTTP/2.0", ProtoMajor: 2,
		Header: header, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: request,
	}
}
