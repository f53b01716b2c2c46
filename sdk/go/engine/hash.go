package engine

import "math/bits"

// Buckets is how many buckets there are. Half-open ranges lie within 0 to this.
const Buckets = 10_000

// prefixHash is MurmurHash3 x86 32 (seed 0) of texts that begin alike. The prefix is hashed once.
type prefixHash struct {
	state uint32
	// Bytes of the prefix that fill no block of four yet, little-endian, and how many bits they are.
	rest   uint64
	bits   uint
	length uint32
}

func newPrefixHash(prefix string) prefixHash {
	h := prefixHash{length: uint32(len(prefix))}
	for ; len(prefix) >= 4; prefix = prefix[4:] {
		h.state = mixed(h.state, word(prefix))
	}
	for i := 0; i < len(prefix); i++ {
		h.rest |= uint64(prefix[i]) << h.bits
		h.bits += 8
	}
	return h
}

// sum is the hash of the prefix and this text, and whether the text is ASCII.
func (h *prefixHash) sum(text string) (hash uint32, isASCII bool) {
	state, rest, shift := h.state, h.rest, h.bits
	length := h.length + uint32(len(text))
	var seen uint32
	for ; len(text) >= 4; text = text[4:] {
		block := word(text)
		seen |= block
		rest |= uint64(block) << shift
		state = mixed(state, uint32(rest))
		rest >>= 32
	}
	for i := 0; i < len(text); i++ {
		seen |= uint32(text[i])
		rest |= uint64(text[i]) << shift
		shift += 8
	}
	if shift >= 32 {
		state = mixed(state, uint32(rest))
		rest >>= 32
	}
	state ^= scrambled(uint32(rest)) ^ length
	state = (state ^ state>>16) * 0x85ebca6b
	state = (state ^ state>>13) * 0xc2b2ae35
	return state ^ state>>16, seen&0x80808080 == 0
}

func (h *prefixHash) bucket(unit string) int32 {
	hash, _ := h.sum(unit)
	return int32(hash % Buckets)
}

// Bucket is the bucket of a unit under a salt, 0 to 9999. The unit must not be empty.
func Bucket(salt, unit string) int {
	h := newPrefixHash(salt + ":")
	return int(h.bucket(unit))
}

func word(text string) uint32 {
	_ = text[3]
	return uint32(text[0]) | uint32(text[1])<<8 | uint32(text[2])<<16 | uint32(text[3])<<24
}

func scrambled(block uint32) uint32 {
	return bits.RotateLeft32(block*0xcc9e2d51, 15) * 0x1b873593
}

func mixed(state, block uint32) uint32 {
	return bits.RotateLeft32(state^scrambled(block), 13)*5 + 0xe6546b64
}
