package engine

import (
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strconv"
	"time"
	"unicode/utf8"
)

type kind uint8

const (
	absent kind = iota
	textKind
	numberKind
	booleanKind
	listKind
	// There, and comparable with nothing.
	otherKind
)

// value is what conditions read. Numbers are doubles, as they are in every language.
type value struct {
	kind   kind
	isTrue bool
	number float64
	text   string
	list   *[]value
}

func textValue(text string) value { return value{kind: textKind, text: text} }

func numberValue(number float64) value {
	if math.IsNaN(number) {
		return value{kind: otherKind}
	}
	return value{kind: numberKind, number: number}
}

func booleanValue(isTrue bool) value { return value{kind: booleanKind, isTrue: isTrue} }

// valueOf is a value of Go's own types as conditions read it: text, a number, a boolean or a list of these.
//
// An instant becomes its text; a named type is what it is made of, unless it writes itself as text, as a UUID does.
// What stands for none of these is otherKind.
func valueOf(given any) value { return valueAt(given, mostHops, false) }

// Of pointers to pointers. One that points to itself has no end.
const mostHops = 8

// valueAt reads a value that so many pointers may lead to. A list in a list is none, whatever is in it: it may be
// itself.
func valueAt(given any, hops int, isElement bool) value {
	switch found := given.(type) {
	case nil:
		return value{}
	case string:
		return textValue(found)
	case bool:
		return booleanValue(found)
	case float64:
		return numberValue(found)
	case int:
		return numberValue(float64(found))
	case int64:
		return numberValue(float64(found))
	case []any:
		return listOf(len(found), hops, isElement, func(i int) any { return found[i] })
	case []string:
		return listOf(len(found), hops, isElement, func(i int) any { return found[i] })
	case time.Time:
		return textValue(found.Format(time.RFC3339Nano))
	case json.Number:
		number, err := found.Float64()
		if err != nil && !math.IsInf(number, 0) {
			return value{kind: otherKind}
		}
		return numberValue(number)
	case *big.Int:
		if found == nil {
			return value{}
		}
		number, _ := new(big.Float).SetInt(found).Float64()
		return numberValue(number)
	case *big.Float:
		if found == nil {
			return value{}
		}
		number, _ := found.Float64()
		return numberValue(number)
	}
	return reflected(reflect.ValueOf(given), hops, isElement)
}

// decimal is how *big.Rat and the usual packages for decimals give their number.
type decimal interface{ Float64() (float64, bool) }

func reflected(given reflect.Value, hops int, isElement bool) value {
	if isNil(given) {
		return value{}
	}
	if text, number, form := written(given.Interface()); form == textKind {
		return textValue(text)
	} else if form == numberKind {
		return numberValue(number)
	}
	switch given.Kind() {
	case reflect.Pointer, reflect.Interface:
		if hops > 0 {
			return valueAt(given.Elem().Interface(), hops-1, isElement)
		}
	case reflect.String:
		return textValue(given.String())
	case reflect.Bool:
		return booleanValue(given.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return numberValue(float64(given.Int()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return numberValue(float64(given.Uint()))
	case reflect.Float32, reflect.Float64:
		return numberValue(given.Float())
	case reflect.Slice, reflect.Array:
		// Bytes are no list of numbers to anybody.
		if given.Type().Elem().Kind() != reflect.Uint8 {
			return listOf(given.Len(), hops, isElement, func(i int) any { return given.Index(i).Interface() })
		}
	}
	return value{kind: otherKind}
}

func isNil(given reflect.Value) bool {
	switch given.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Slice, reflect.Map, reflect.Func, reflect.Chan:
		return given.IsNil()
	}
	return false
}

// written is the text or the number that a value of a foreign type gives of itself; absent where it gives none, or
// panics.
func written(given any) (text string, number float64, form kind) {
	defer func() {
		if recover() != nil {
			text, number, form = "", 0, absent
		}
	}()
	switch found := given.(type) {
	case decimal:
		number, _ = found.Float64()
		return "", number, numberKind
	case encoding.TextMarshaler:
		if text, err := found.MarshalText(); err == nil {
			return string(text), 0, textKind
		}
	}
	return "", 0, absent
}

func listOf(size, hops int, isElement bool, at func(int) any) value {
	if isElement {
		return value{kind: otherKind}
	}
	items := make([]value, size)
	for i := range items {
		items[i] = valueAt(at(i), hops, true)
	}
	return value{kind: listKind, list: &items}
}

// untaken names the type of a value that no condition can read; empty for one that can be read.
func untaken(found value, given any) string {
	if number, ok := given.(float64); ok && math.IsNaN(number) {
		return "a float64 that is no number"
	}
	if found.kind == otherKind {
		return fmt.Sprintf("%T", given)
	}
	if found.kind == listKind {
		for _, element := range *found.list {
			if element.kind == otherKind {
				return fmt.Sprintf("%T, with an element that is none", given)
			}
		}
	}
	return ""
}

// Past 2^53 two integers share one double.
const mostExact = 1 << 53

// unitOf is the text that is hashed for a value; empty where the value is no unit.
//
// Whole numbers become decimal text: those of Go's integers at any size, doubles up to 2^53. Text that is no UTF-8 is
// no unit.
func unitOf(given any) string { return unitAt(given, mostHops) }

func unitAt(given any, hops int) string {
	switch found := given.(type) {
	case string:
		return unitText(found)
	case int:
		return strconv.Itoa(found)
	case *big.Int:
		if found == nil {
			return ""
		}
		return found.String()
	case json.Number:
		if whole, err := found.Int64(); err == nil && -mostExact <= whole && whole <= mostExact {
			return strconv.FormatInt(whole, 10)
		}
	}
	if reflection := reflect.ValueOf(given); given != nil {
		switch {
		case reflection.CanInt() && !isWritten(given):
			return strconv.FormatInt(reflection.Int(), 10)
		case reflection.CanUint() && !isWritten(given):
			return strconv.FormatUint(reflection.Uint(), 10)
		case reflection.Kind() == reflect.Pointer && !reflection.IsNil() && hops > 0 && !isWritten(given):
			return unitAt(reflection.Elem().Interface(), hops-1)
		}
	}
	switch found := valueOf(given); {
	case found.kind == textKind:
		return unitText(found.text)
	case found.kind == numberKind && math.Abs(found.number) <= mostExact && found.number == math.Trunc(found.number):
		return strconv.FormatInt(int64(found.number), 10)
	}
	return ""
}

func isWritten(given any) bool {
	_, _, form := written(given)
	return form != absent
}

func unitText(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	return ""
}
