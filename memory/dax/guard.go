package dax

import (
	"errors"
	"net"
)

// What an answer may announce. DynamoDB's are 16 MB at most.
const (
	mostBytes    = 64 << 20
	mostElements = 1 << 20
)

var errGarbage = errors.New("what DAX sent is no answer")

// A guarded connection ends where what arrives announces more than an answer can have.
// The client makes room for whatever is announced, and panics if there is none:
// in goroutines of its own too, where nobody can recover from it.
//
// CBOR is a sequence of heads, each with a value, after which strings have so many
// bytes. What is inside of what does not matter here.
type guarded struct {
	net.Conn
	head    byte   // the last first byte of a head
	missing int    // bytes of a head's value that are to come
	value   uint64 // so far
	skip    uint64 // bytes of a string, or of a number's fraction, to come
	bad     bool
}

func (g *guarded) Read(b []byte) (int, error) {
	if g.bad {
		return 0, errGarbage
	}
	n, err := g.Conn.Read(b)
	if !g.follow(b[:n]) {
		g.bad = true
		_ = g.Close()
		return 0, errGarbage
	}
	return n, err
}

// follow reports whether b goes on with what came before as answers do.
func (g *guarded) follow(b []byte) bool {
	for len(b) > 0 {
		if g.skip > 0 {
			n := min(g.skip, uint64(len(b)))
			g.skip -= n
			b = b[n:]
			continue
		}
		c := b[0]
		b = b[1:]
		if g.missing > 0 {
			g.missing--
			g.value = g.value<<8 | uint64(c)
			if g.missing == 0 && !g.begin() {
				return false
			}
			continue
		}
		g.head, g.value = c, 0
		switch m := c & 0x1f; {
		case m < 24:
			g.value = uint64(m)
			if !g.begin() {
				return false
			}
		case m <= 27:
			g.missing = 1 << (m - 24)
		case m != 31: // of an indefinite length, or the end of it
			return false
		}
	}
	return true
}

// begin takes a whole head.
func (g *guarded) begin() bool {
	switch g.head >> 5 {
	case 2, 3: // strings
		g.skip = g.value
		return g.value <= mostBytes
	case 4, 5: // arrays and maps
		return g.value <= mostElements
	}
	return true
}
