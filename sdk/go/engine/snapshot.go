package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// Parse compiles a snapshot, as JSON. previous, which may be nil, gives the versions that it understood of what is not
// understood here. It fails only where the document as a whole is no snapshot, or needs a later contract.
func Parse(document []byte, previous *Environment) (*Environment, error) {
	if !utf8.Valid(document) {
		return nil, ErrNotJSON
	}
	if previous == nil {
		previous = &Environment{}
	}
	r := snapshotReader{parser: parser{data: document}, previous: previous}
	if err := r.read(); err != nil {
		return nil, err
	}
	e := &Environment{version: int64(r.version), header: r.header, salt: r.salt}
	e.flags, e.segments = map[string]*flag{}, map[string]*segment{}
	for key, one := range r.flags {
		e.flags[key] = newFlag(key, one.raw, one.document, e.salt, previous.flags[key])
	}
	for key, one := range r.segments {
		e.segments[key] = newSegment(key, one.raw, one.document, previous.segments[key])
	}
	e.link()
	return e, nil
}

type filed struct {
	raw      []byte
	document any
}

// snapshotReader reads a snapshot's members, whatever their order.
type snapshotReader struct {
	parser
	previous *Environment
	contract any
	version  float64
	header   []byte
	salt     string
	flags    map[string]filed
	segments map[string]filed
}

func (r *snapshotReader) read() error {
	if r.next() != '{' {
		if _, err := parseJSON(r.data); err != nil {
			return err
		}
		return errors.New("give a snapshot, as an object")
	}
	r.header, r.version = []byte("{}"), math.NaN()
	if err := r.object(r.member); err != nil {
		return err
	}
	if err := r.end(); err != nil {
		return err
	}
	if contract, _ := r.contract.(float64); contract != math.Trunc(contract) || contract < 1 || contract > Contract {
		return fmt.Errorf("contract: this engine knows contract %d, the document needs %v; update it", Contract, r.contract)
	}
	if r.version != math.Trunc(r.version) || math.Abs(r.version) > mostExact {
		return errors.New("version: give a whole number")
	}
	return nil
}

func (r *snapshotReader) member(name string) error {
	switch name {
	case "flags":
		found, err := r.documents()
		r.flags = found
		return err
	case "segments":
		found, err := r.documents()
		r.segments = found
		return err
	case "environment":
		given, raw, err := r.raw()
		members, isObject := given.(map[string]any)
		if err == nil && !isObject {
			return errNoObjects
		}
		r.header = bytes.Clone(raw)
		r.salt, _ = members["salt"].(string)
		return err
	}
	given, err := r.value()
	switch name {
	case "contract":
		r.contract = given
	case "version":
		number, isNumber := given.(float64)
		if r.version = number; !isNumber {
			r.version = math.NaN()
		}
	}
	return err
}

var errNoObjects = errors.New("environment, flags, segments: give objects")

func (r *snapshotReader) documents() (map[string]filed, error) {
	found := map[string]filed{}
	if r.next() != '{' {
		if _, err := r.value(); err != nil {
			return nil, err
		}
		return nil, errNoObjects
	}
	return found, r.object(func(key string) error {
		document, raw, err := r.raw()
		found[key] = filed{raw, document}
		return err
	})
}

// Document is the environment's snapshot, as JSON: Parse makes an equal environment from it.
func (e *Environment) Document() []byte {
	var text bytes.Buffer
	fmt.Fprintf(&text, `{"contract":%d,"environment":%s,"version":%d,"flags":{`, Contract, e.header, e.version)
	write := func(number int, key string, raw []byte) {
		if number > 0 {
			text.WriteByte(',')
		}
		name, _ := json.Marshal(key)
		text.Write(name)
		text.WriteByte(':')
		text.Write(raw)
	}
	for number, key := range e.Keys() {
		write(number, key, e.flags[key].raw)
	}
	text.WriteString(`},"segments":{`)
	for number, key := range sorted(e.segments, func(*segment) bool { return true }) {
		write(number, key, e.segments[key].raw)
	}
	text.WriteString("}}")
	return text.Bytes()
}
