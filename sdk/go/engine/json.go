package engine

import (
	"errors"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// ErrNotJSON says that a text is no JSON, or nests deeper than this package reads.
var ErrNotJSON = errors.New("this is no JSON")

// No configuration nests as deep; a hostile one may.
const mostDepth = 1000

// parser reads JSON into nil, bool, float64, string, []any and map[string]any.
//
// encoding/json replaces half of a surrogate pair silently, and refuses a number that no double holds. The contract
// makes a condition with either one that nobody meets, so that this reader keeps them: half a pair as bytes that are
// no UTF-8, and the number as an infinity.
type parser struct {
	data  []byte
	at    int
	depth int
}

// parseJSON reads one value and nothing after it.
func parseJSON(data []byte) (any, error) {
	if !utf8.Valid(data) {
		return nil, ErrNotJSON
	}
	p := &parser{data: data}
	found, err := p.value()
	if err != nil {
		return nil, err
	}
	return found, p.end()
}

func (p *parser) end() error {
	p.space()
	if p.at != len(p.data) {
		return ErrNotJSON
	}
	return nil
}

func (p *parser) space() {
	for p.at < len(p.data) {
		switch p.data[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// next gives the next byte after space, and leaves it; 0 at the end.
func (p *parser) next() byte {
	p.space()
	if p.at < len(p.data) {
		return p.data[p.at]
	}
	return 0
}

func (p *parser) take(wanted byte) error {
	if p.next() != wanted {
		return ErrNotJSON
	}
	p.at++
	return nil
}

func (p *parser) value() (any, error) {
	switch first := p.next(); first {
	case '{':
		found := map[string]any{}
		err := p.object(func(key string) error {
			member, err := p.value()
			found[key] = member
			return err
		})
		return found, err
	case '[':
		return p.array()
	case '"':
		return p.text()
	case 't':
		return true, p.word("true")
	case 'f':
		return false, p.word("false")
	case 'n':
		return nil, p.word("null")
	default:
		return p.number()
	}
}

// raw reads one value and gives its bytes too.
func (p *parser) raw() (any, []byte, error) {
	p.space()
	start := p.at
	found, err := p.value()
	return found, p.data[start:p.at], err
}

// object calls member after each key; member reads the value.
func (p *parser) object(member func(key string) error) error {
	if err := p.take('{'); err != nil {
		return err
	}
	if p.depth++; p.depth > mostDepth {
		return ErrNotJSON
	}
	defer func() { p.depth-- }()
	if p.next() == '}' {
		p.at++
		return nil
	}
	for {
		if p.next() != '"' {
			return ErrNotJSON
		}
		key, err := p.text()
		if err != nil {
			return err
		}
		if err := p.take(':'); err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
		isLast, err := p.separated('}')
		if err != nil || isLast {
			return err
		}
	}
}

func (p *parser) array() ([]any, error) {
	found := []any{}
	if err := p.take('['); err != nil {
		return nil, err
	}
	if p.depth++; p.depth > mostDepth {
		return nil, ErrNotJSON
	}
	defer func() { p.depth-- }()
	if p.next() == ']' {
		p.at++
		return found, nil
	}
	for {
		item, err := p.value()
		if err != nil {
			return nil, err
		}
		found = append(found, item)
		isLast, err := p.separated(']')
		if err != nil || isLast {
			return found, err
		}
	}
}

// separated takes a comma, or the end; it says whether it was the end.
func (p *parser) separated(end byte) (bool, error) {
	switch p.next() {
	case ',':
		p.at++
		return false, nil
	case end:
		p.at++
		return true, nil
	default:
		return false, ErrNotJSON
	}
}

func (p *parser) word(wanted string) error {
	if end := p.at + len(wanted); end <= len(p.data) && string(p.data[p.at:end]) == wanted {
		p.at = end
		return nil
	}
	return ErrNotJSON
}

func (p *parser) text() (string, error) {
	p.at++
	start := p.at
	for ; p.at < len(p.data); p.at++ {
		switch c := p.data[p.at]; {
		case c == '"':
			found := string(p.data[start:p.at])
			p.at++
			return found, nil
		case c == '\\':
			return p.escaped(append([]byte(nil), p.data[start:p.at]...))
		case c < ' ':
			return "", ErrNotJSON
		}
	}
	return "", ErrNotJSON
}

// escaped reads the rest of a text that has a backslash where the parser stands.
func (p *parser) escaped(found []byte) (string, error) {
	for p.at < len(p.data) {
		c := p.data[p.at]
		p.at++
		switch {
		case c == '"':
			return string(found), nil
		case c < ' ':
			return "", ErrNotJSON
		case c != '\\':
			found = append(found, c)
			continue
		}
		if p.at == len(p.data) {
			return "", ErrNotJSON
		}
		c = p.data[p.at]
		p.at++
		if c == 'u' {
			first, ok := p.unit()
			if !ok {
				return "", ErrNotJSON
			}
			found = p.appendUnit(found, first)
			continue
		}
		plain, ok := escapes[c]
		if !ok {
			return "", ErrNotJSON
		}
		found = append(found, plain)
	}
	return "", ErrNotJSON
}

var escapes = map[byte]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

// unit reads the four digits of a UTF-16 unit.
func (p *parser) unit() (rune, bool) {
	if p.at+4 > len(p.data) {
		return 0, false
	}
	var unit rune
	for _, c := range p.data[p.at : p.at+4] {
		switch {
		case '0' <= c && c <= '9':
			unit = unit<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			unit = unit<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			unit = unit<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	p.at += 4
	return unit, true
}

func (p *parser) appendUnit(found []byte, first rune) []byte {
	if !utf16.IsSurrogate(first) {
		return utf8.AppendRune(found, first)
	}
	if p.at+1 < len(p.data) && p.data[p.at] == '\\' && p.data[p.at+1] == 'u' {
		before := p.at
		p.at += 2
		if second, ok := p.unit(); ok {
			if whole := utf16.DecodeRune(first, second); whole != utf8.RuneError {
				return utf8.AppendRune(found, whole)
			}
		}
		p.at = before
	}
	// Half a pair, in the bytes that UTF-8 would have if it allowed it.
	return append(found, 0xe0|byte(first>>12), 0x80|byte(first>>6)&0x3f, 0x80|byte(first)&0x3f)
}

func (p *parser) number() (any, error) {
	start := p.at
	if p.at < len(p.data) && p.data[p.at] == '-' {
		p.at++
	}
	whole := p.digits()
	if whole == 0 || (whole > 1 && p.data[p.at-whole] == '0') {
		return nil, ErrNotJSON
	}
	if p.at < len(p.data) && p.data[p.at] == '.' {
		p.at++
		if p.digits() == 0 {
			return nil, ErrNotJSON
		}
	}
	if p.at < len(p.data) && (p.data[p.at] == 'e' || p.data[p.at] == 'E') {
		p.at++
		if p.at < len(p.data) && (p.data[p.at] == '+' || p.data[p.at] == '-') {
			p.at++
		}
		if p.digits() == 0 {
			return nil, ErrNotJSON
		}
	}
	found, err := strconv.ParseFloat(string(p.data[start:p.at]), 64)
	if err != nil && !math.IsInf(found, 0) {
		return nil, ErrNotJSON
	}
	return found, nil
}

func (p *parser) digits() int {
	start := p.at
	for p.at < len(p.data) && '0' <= p.data[p.at] && p.data[p.at] <= '9' {
		p.at++
	}
	return p.at - start
}
