package transport

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	mostRetryAfter       = 10 * time.Minute
	mostReasonCharacters = 500
)

// RefusedError says that the server answered with a status, or in a form, that was not asked for.
type RefusedError struct {
	Status int
	// RetryAfter is the pause that the server asks for; 0 for none.
	RetryAfter time.Duration
	// IsOfStream: whether the key works, the snapshot's answer says.
	IsOfStream bool

	text string
}

func (e *RefusedError) Error() string { return e.text }

// Refused is the error of an answer. what was asked for, and what is wrong with the answer.
func Refused(status int, header http.Header, what, problem string) *RefusedError {
	text := fmt.Sprintf("the server answered %d to %s", status, what)
	if problem != "" {
		text += ": " + problem
	}
	return &RefusedError{Status: status, RetryAfter: RetryAfter(header), text: text}
}

// RetryAfter is the pause that a head asks for, as seconds or as a date; at most ten minutes.
func RetryAfter(header http.Header) time.Duration {
	said := strings.TrimSpace(header.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(said, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, mostRetryAfter)
	}
	if at, err := http.ParseTime(said); err == nil {
		return max(0, min(time.Until(at), mostRetryAfter))
	}
	return 0
}

// Age is for how long the sender has been without news; false where the head says nothing that can be read.
func Age(header http.Header) (time.Duration, bool) {
	return seconds(strings.TrimSpace(header.Get("X-FlagShip-Age")))
}

func seconds(text string) (time.Duration, bool) {
	found, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(found) || found < 0 || found > 1e9 {
		return 0, false
	}
	return time.Duration(found * float64(time.Second)), true
}

// Target is the origin that a redirect leads to, for people.
func Target(header http.Header) string {
	if origin := OriginOf(header.Get("Location")); origin != "" {
		return origin
	}
	return "what is no address"
}

// Problem is one of the errors of a body in the API's form.
type Problem struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// Problems are the errors of a body in the API's form.
func Problems(body []byte) []Problem {
	var found struct {
		Errors []Problem `json:"errors"`
		Detail string    `json:"detail"`
	}
	// What cannot be read says nothing.
	if json.Unmarshal(body, &found) != nil {
		return nil
	}
	if len(found.Errors) == 0 && found.Detail != "" {
		return []Problem{{Detail: found.Detail}}
	}
	return found.Errors
}

// Reason is the server's own words about a refusal; empty where it says nothing that can be read.
func Reason(body []byte) string {
	var details []string
	for _, one := range Problems(body) {
		if one.Detail != "" {
			details = append(details, one.Detail)
		}
	}
	return Short(strings.Join(details, "; "), mostReasonCharacters)
}

// Short is text for a log: at most so many characters, and none that moves the cursor.
func Short(text string, most int) string {
	characters := []rune(text)
	if len(characters) > most {
		characters = characters[:most]
	}
	for i, one := range characters {
		if unicode.IsControl(one) {
			characters[i] = ' '
		}
	}
	return string(characters)
}
