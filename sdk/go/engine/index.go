package engine

// index finds flags by their keys. A Go map takes a third of a whole evaluation: its hash withstands keys that are
// chosen by an enemy, and these are the server's own.
type index struct {
	mask  uint64
	slots []slot
}

type slot struct {
	hash uint64
	flag *flag
}

func newIndex(flags map[string]*flag) index {
	size := 8
	for size < 2*len(flags) {
		size *= 2
	}
	found := index{uint64(size - 1), make([]slot, size)}
	for key, one := range flags {
		hash := hashOf(key)
		at := hash & found.mask
		for found.slots[at].flag != nil {
			at = (at + 1) & found.mask
		}
		found.slots[at] = slot{hash, one}
	}
	return found
}

// find is the flag with this key; nil for none. At least half of the slots are free.
func (x *index) find(key string) *flag {
	hash := hashOf(key)
	for at := hash; ; at++ {
		one := &x.slots[at&x.mask]
		if one.flag == nil || (one.hash == hash && one.flag.key == key) {
			return one.flag
		}
	}
}

const (
	firstFactor  = 0x9e3779b97f4a7c15
	secondFactor = 0xff51afd7ed558ccd
)

func hashOf(key string) uint64 {
	size := len(key)
	hash := uint64(size) * secondFactor
	switch {
	case size >= 8:
		for rest := key; len(rest) > 8; rest = rest[8:] {
			hash = (hash ^ long(rest)) * firstFactor
			hash ^= hash >> 32
		}
		hash ^= long(key[size-8:])
	case size >= 4:
		hash ^= uint64(word(key)) | uint64(word(key[size-4:]))<<32
	case size > 0:
		hash ^= uint64(key[0]) | uint64(key[size/2])<<8 | uint64(key[size-1])<<16
	}
	hash *= firstFactor
	return hash ^ hash>>32
}

func long(text string) uint64 {
	_ = text[7]
	return uint64(word(text)) | uint64(word(text[4:]))<<32
}
