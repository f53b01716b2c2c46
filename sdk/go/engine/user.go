package engine

import "unicode/utf8"

const userID = "userId"

// User is the input of an evaluation: an id, and attributes for conditions. The zero User is nobody in particular.
//
// Attributes are kept, not copied: leave the map alone while it is evaluated. They may have Go's own types: text, whole
// numbers of any kind, floats, booleans, time.Time, *big.Int, json.Number, types that write themselves as text, and
// slices of these. An attribute "userId" is ignored.
type User struct {
	ID         string
	Attributes map[string]any

	// An empty id that was given is there for conditions, and is no unit.
	hasEmptyID bool
	refused    Refusal
}

// Refusal is told of an attribute that no condition can read: the flag or segment that reads it, its name, its type.
type Refusal func(subject, attribute, kind string)

// UserOf is a user whose id has any type: text, or a whole number, which becomes its decimal text. What can be no id
// is no user.
func UserOf(id any, attributes map[string]any) User {
	text, isText := id.(string)
	return User{ID: unitOf(id), Attributes: attributes, hasEmptyID: isText && text == ""}
}

// With is the same user with further attributes, which go before the present ones.
func (u User) With(attributes map[string]any) User {
	all := make(map[string]any, len(u.Attributes)+len(attributes))
	for name, one := range u.Attributes {
		all[name] = one
	}
	for name, one := range attributes {
		all[name] = one
	}
	u.Attributes = all
	return u
}

// Refusing is the same user, whose attributes that cannot be read are told of.
func (u User) Refusing(refused Refusal) User {
	u.refused = refused
	return u
}

// read is the attribute as conditions read it. subject is the flag or segment that asks.
func (u *User) read(name, subject string) value {
	if name == userID {
		if u.ID == "" && !u.hasEmptyID {
			return value{}
		}
		return textValue(u.ID)
	}
	given := u.Attributes[name]
	if text, isText := given.(string); isText {
		// The most frequent type, without a look at the others.
		return value{kind: textKind, text: text}
	}
	return u.taken(given, name, subject)
}

func (u *User) taken(given any, name, subject string) value {
	found := valueOf(given)
	if u.refused != nil && (found.kind == otherKind || found.kind == listKind) {
		if kind := untaken(found, given); kind != "" {
			u.refused(subject, name, kind)
		}
	}
	return found
}

// unit is what the first of the attributes gives; empty where none gives any.
func (u *User) unit(names []string) string {
	for _, name := range names {
		if name == userID {
			if u.ID != "" {
				return u.ID
			}
		} else if given, isThere := u.Attributes[name]; isThere {
			if unit := unitOf(given); unit != "" {
				return unit
			}
		}
	}
	return ""
}

// wellFormed takes away an id that is no UTF-8: nobody has it.
func (u *User) wellFormed() {
	if !utf8.ValidString(u.ID) {
		u.ID = ""
	}
}
