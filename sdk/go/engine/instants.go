package engine

import "time"

const mostInstantBytes = 40

// instantOf is the Unix milliseconds of an ISO 8601 instant with a zone; false for other text, or a date that does not
// exist. Digits past the milliseconds are ignored. time.Parse takes other forms.
func instantOf(text string) (float64, bool) {
	if len(text) > mostInstantBytes {
		return 0, false
	}
	r := digitReader{text: text, isGood: true}
	year, month, day := r.number(4), r.after('-', 2), r.after('-', 2)
	hour, minute := r.after('T', 2), r.after(':', 2)
	second, milliseconds := 0, 0
	if r.is(':') {
		second = r.number(2)
		if r.is('.') {
			milliseconds = r.fraction()
		}
	}
	offset := r.zone()
	if !r.isGood || r.text != "" || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	at := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	if year == 0 || at.Month() != time.Month(month) || at.Day() != day {
		return 0, false
	}
	return float64((at.Unix()-int64(offset)*60)*1000 + int64(milliseconds)), true
}

// digitReader takes a text from its beginning. What does not fit makes it not good.
type digitReader struct {
	text   string
	isGood bool
}

func (r *digitReader) is(wanted byte) bool {
	if r.text == "" || r.text[0] != wanted {
		return false
	}
	r.text = r.text[1:]
	return true
}

func (r *digitReader) after(wanted byte, digits int) int {
	if !r.is(wanted) {
		r.isGood = false
	}
	return r.number(digits)
}

func (r *digitReader) number(digits int) int {
	if len(r.text) < digits {
		r.isGood = false
		return 0
	}
	found := 0
	for i := 0; i < digits; i++ {
		if !isDigit(r.text[i]) {
			r.isGood = false
			return 0
		}
		found = found*10 + int(r.text[i]-'0')
	}
	r.text = r.text[digits:]
	return found
}

// fraction reads any number of digits, and gives the first three as milliseconds.
func (r *digitReader) fraction() int {
	count, found := 0, 0
	for ; count < len(r.text) && isDigit(r.text[count]); count++ {
		if count < 3 {
			found = found*10 + int(r.text[count]-'0')
		}
	}
	if count == 0 {
		r.isGood = false
	}
	r.text = r.text[count:]
	for ; count < 3; count++ {
		found *= 10
	}
	return found
}

// zone reads Z, or an offset such as +02, +0200 or +02:00, and gives it in minutes.
func (r *digitReader) zone() int {
	if r.is('Z') {
		return 0
	}
	sign := 1
	if r.is('-') {
		sign = -1
	} else if !r.is('+') {
		r.isGood = false
		return 0
	}
	hours, minutes := r.number(2), 0
	if r.is(':') || r.text != "" {
		minutes = r.number(2)
	}
	if hours > 23 || minutes > 59 {
		r.isGood = false
	}
	return sign * (hours*60 + minutes)
}

func isDigit(c byte) bool {
	return '0' <= c && c <= '9'
}
