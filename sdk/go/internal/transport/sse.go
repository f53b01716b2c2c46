package transport

import (
	"bytes"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	mostEventBytes = 256 << 20
	mostSignatures = 4
	// More digits are no number that anybody means.
	mostRetryDigits = 15
)

// ErrEventTooLarge says that one event is larger than the limit.
var ErrEventTooLarge = errors.New("an event takes more than 256 MiB")

var ageInComment = regexp.MustCompile(`\bage=(\d{1,9}(?:\.\d{1,6})?)`)

// Event is a server-sent event. The standard would repeat the last id for one without; here it has none.
//
// Signatures come in a field of FlagShip's own; other clients ignore it, as the standard says.
type Event struct {
	Kind       string
	Data       []byte
	ID         string
	HasID      bool
	Signatures []string
}

// EventParser reads server-sent events from bytes as they come, as the HTML standard says.
type EventParser struct {
	// Retry is the pause that the server asked for last; 0 for none.
	Retry time.Duration
	// Comments is the number of whole comments, which are keep-alives.
	Comments int
	// Age is what the last comment said of its sender: for how long that has heard nothing from its own source.
	Age time.Duration

	// Of the line that is not complete yet.
	line      []byte
	isStarted bool
	endsInCR  bool
	// The event that is not complete yet.
	event   Event
	hasData bool
	kept    int
}

// Waiting is the size of the event that is not complete yet.
func (p *EventParser) Waiting() int { return len(p.line) + p.kept }

// Feed adds bytes, and gives the events that are now complete.
func (p *EventParser) Feed(piece []byte) ([]Event, error) {
	var events []Event
	for len(piece) > 0 {
		if p.endsInCR {
			p.endsInCR = false
			if piece[0] == '\n' {
				piece = piece[1:]
				continue
			}
		}
		end := bytes.IndexAny(piece, "\r\n")
		if end < 0 {
			p.line = append(p.line, piece...)
			break
		}
		line := piece[:end]
		if len(p.line) > 0 {
			line = append(p.line, line...)
		}
		p.endsInCR = piece[end] == '\r'
		piece = piece[end+1:]
		if event, isWhole := p.take(line); isWhole {
			events = append(events, event)
		}
		p.line = p.line[:0]
		if cap(p.line) > 1<<20 {
			p.line = nil
		}
	}
	if p.Waiting() > mostEventBytes {
		return events, ErrEventTooLarge
	}
	return events, nil
}

func (p *EventParser) take(line []byte) (Event, bool) {
	if !p.isStarted {
		p.isStarted = true
		line = bytes.TrimPrefix(line, []byte("\ufeff"))
	}
	if len(line) == 0 {
		return p.finished()
	}
	name, data, _ := bytes.Cut(line, []byte(":"))
	data = bytes.TrimPrefix(data, []byte(" "))
	if len(name) == 0 {
		p.Comments++
		p.Age = 0
		if found := ageInComment.FindSubmatch(data); found != nil {
			p.Age, _ = seconds(string(found[1]))
		}
		return Event{}, false
	}
	p.kept += len(line) + 1
	p.note(string(name), data)
	return Event{}, false
}

func (p *EventParser) note(name string, data []byte) {
	switch name {
	case "data":
		if p.hasData {
			p.event.Data = append(p.event.Data, '\n')
		}
		p.event.Data = append(p.event.Data, data...)
		p.hasData = true
	case "event":
		p.event.Kind = string(data)
	case "id":
		if id := string(data); !strings.Contains(id, "\x00") {
			p.event.ID, p.event.HasID = id, true
		}
	case "signature":
		if len(p.event.Signatures) < mostSignatures {
			p.event.Signatures = append(p.event.Signatures, string(data))
		}
	case "retry":
		if milliseconds, err := strconv.ParseUint(string(data), 10, 64); err == nil && len(data) <= mostRetryDigits {
			p.Retry = time.Duration(min(milliseconds, 1<<40)) * time.Millisecond
		}
	}
}

func (p *EventParser) finished() (Event, bool) {
	event, isWhole := p.event, p.hasData
	if event.Kind == "" {
		event.Kind = "message"
	}
	p.event, p.hasData, p.kept = Event{}, false, 0
	return event, isWhole
}
