package sending

import (
	"crypto/rand"
	"encoding/hex"
	"time"
)

// uuid7 is a new id of the given moment (RFC 9562). Ids that sort by time keep the event tables' inserts local.
func uuid7(at time.Time) string {
	var id [16]byte
	milliseconds := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(milliseconds >> (40 - 8*i))
	}
	if _, err := rand.Read(id[6:]); err != nil {
		// The system gives no random bytes: nothing that needs an id can go on.
		panic(err)
	}
	id[6] = 0x70 | id[6]&0x0f
	id[8] = 0x80 | id[8]&0x3f
	text := hex.EncodeToString(id[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

// NewID is an id of the present.
func NewID() string { return uuid7(time.Now()) }
