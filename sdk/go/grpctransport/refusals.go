package grpctransport

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"openflagship/grpctransport/internal/v1"
)

// The statuses over HTTP. What is not here is no answer of the server's own.
var statuses = map[codes.Code]int{
	codes.InvalidArgument: http.StatusBadRequest, codes.Unauthenticated: http.StatusUnauthorized,
	codes.PermissionDenied: http.StatusForbidden, codes.NotFound: http.StatusNotFound,
	codes.Unimplemented: http.StatusNotFound, codes.Aborted: http.StatusConflict,
	codes.FailedPrecondition: http.StatusConflict, codes.ResourceExhausted: http.StatusTooManyRequests,
}

// Of those that gRPC itself uses where nobody answers, only details prove that the server has spoken.
var ofServer = map[codes.Code]int{
	codes.Internal: http.StatusInternalServerError, codes.Unavailable: http.StatusServiceUnavailable,
}

// By the code of its problem, where the type of a refusal tells too little.
var ofProblems = map[string]int{
	"payload_too_large": http.StatusRequestEntityTooLarge, "rate_limited": http.StatusTooManyRequests,
	"unavailable": http.StatusServiceUnavailable,
}

// answerOf is the refusal over HTTP that says what the call's error does. It fails where nobody answered.
func answerOf(err error, request *http.Request) (*http.Response, error) {
	said := status.Convert(err)
	var body *v1.ErrorBody
	for _, detail := range said.Details() {
		if found, isOne := detail.(*v1.ErrorBody); isOne {
			body = found
		}
	}
	code, isRefusal := statuses[said.Code()]
	if ofItsOwn, isOne := ofServer[said.Code()]; isOne && body != nil {
		code, isRefusal = ofItsOwn, true
	}
	if !isRefusal {
		return nil, fmt.Errorf("gRPC: %s: %s", said.Code(), said.Message())
	}
	if body == nil {
		body = &v1.ErrorBody{Errors: []*v1.Problem{{Detail: said.Message()}}}
	}
	if problem := ofProblems[firstCode(body)]; problem != 0 {
		code = problem
	}
	return refusal(request, code, body), nil
}

// statusOf is the status over HTTP of a batch that was refused as a whole.
func statusOf(body *v1.ErrorBody) int {
	if code := ofProblems[firstCode(body)]; code != 0 {
		return code
	}
	if body.GetType() == "server_error" {
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

func firstCode(body *v1.ErrorBody) string {
	if len(body.GetErrors()) == 0 {
		return ""
	}
	return body.GetErrors()[0].GetCode()
}

func refusal(request *http.Request, code int, body *v1.ErrorBody) *http.Response {
	header := http.Header{}
	if wait := body.GetRetryAfterSeconds(); wait > 0 {
		header.Set("Retry-After", strconv.Itoa(int(wait)))
	}
	problems := []any{}
	for _, one := range body.GetErrors() {
		problems = append(problems, map[string]any{"code": one.GetCode(), "detail": one.GetDetail(), "attr": one.GetAttr()})
	}
	// Texts and numbers can always be written.
	text, _ := json.Marshal(map[string]any{"type": body.GetType(), "errors": problems, "requestId": body.GetRequestId()})
	return answer(request, code, header, text)
}
