// Package hlc is a hybrid logical clock: ids that sort by the time they were
// issued, and after every id their issuer had seen, though no two machines
// agree on the time.
//
// An id is 16 bytes in the layout of a version 7 UUID: 48 bits of milliseconds
// since 1970, a 12-bit counter, and 62 random bits between the version and
// variant marks. Time and counter make the ids of one [Clock] increase; the
// random bits keep apart the ids of clocks that know nothing of each other.
package hlc

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/genaistore/genaistore/internal/fault"
)

// MaxSkew is how far ahead of the local time a [Clock] may be, or be pulled by
// what it observes.
const MaxSkew = 60 * time.Second

// The kinds of error.
var (
	ErrInvalid = fault.Invalid // text or bytes that no clock has issued, or a time before 1970 or after 10889
	// ErrSkew reports a clock more than [MaxSkew] ahead of the time given: either
	// that time is wrong, or the one before it was. It matches ErrInvalid.
	ErrSkew = fmt.Errorf("clock skew (%w)", fault.Invalid)
)

const (
	counterBits = 12
	maxMilli    = 1<<48 - 1

	// alphabet is base32hex in lower case: its order is the order of bytes.
	alphabet = "0123456789abcdefghijklmnopqrstuv"
	textLen  = 26
)

// An ID is a moment, comparable with == and ordered as its bytes, its text and
// [ID.Compare] are. The zero ID has no text that [Parse] takes, and sorts before
// all others.
type ID [16]byte

// Floor returns the first ID of the millisecond that t is in: an issued id x was
// issued in that millisecond or later if, and only if, x.Compare(Floor(t)) >= 0.
// A t before 1970 or after 10889 gives the first or the last such bound.
func Floor(t time.Time) ID {
	return pack(uint64(min(max(t.UnixMilli(), 0), maxMilli))<<counterBits, [8]byte{})
}

// Parse is the inverse of [ID.String]. It takes nothing else: no upper case, no
// other length. Its errors match [ErrInvalid].
func Parse(text string) (ID, error) {
	if len(text) != textLen {
		return ID{}, fmt.Errorf("id %.40q: %w: it has %d characters, want %d", text, ErrInvalid, len(text), textLen)
	}
	var hi, lo uint64
	for i := range len(text) {
		digit, ok := value(text[i])
		if !ok {
			return ID{}, fmt.Errorf("id %q: %w: character %d is none of 0-9 and a-v", text, ErrInvalid, i+1)
		}
		hi, lo = hi<<5|lo>>59, lo<<5|uint64(digit)
	}
	if text[0] > '7' { // 26 digits hold 130 bits, an ID 128
		return ID{}, fmt.Errorf("id %q: %w: it is greater than any id", text, ErrInvalid)
	}
	var id ID
	binary.BigEndian.PutUint64(id[:8], hi)
	binary.BigEndian.PutUint64(id[8:], lo)
	return id, id.validate()
}

// String returns 26 characters of 0-9 and a-v.
func (id ID) String() string {
	hi, lo := binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])
	var text [textLen]byte
	for i := textLen - 1; i >= 0; i-- {
		text[i] = alphabet[lo&31]
		hi, lo = hi>>5, lo>>5|hi<<59
	}
	return string(text[:])
}

// Time returns when the id was issued by the clock that issued it, in whole
// milliseconds, UTC.
func (id ID) Time() time.Time {
	return time.UnixMilli(int64(id.stamp() >> counterBits)).UTC()
}

// Compare returns -1, 0 or +1, as [bytes.Compare] does.
func (id ID) Compare(other ID) int { return bytes.Compare(id[:], other[:]) }

// stamp is what the clocks order by: milliseconds, then the counter.
func (id ID) stamp() uint64 {
	hi := binary.BigEndian.Uint64(id[:8])
	return hi>>16<<counterBits | hi&(1<<counterBits-1)
}

func (id ID) validate() error {
	if id[6]>>4 != 7 || id[8]>>6 != 2 {
		return fmt.Errorf("id %s: %w: it was not issued by a clock (no version 7 UUID)", id, ErrInvalid)
	}
	return nil
}

func pack(stamp uint64, random [8]byte) ID {
	var id ID
	binary.BigEndian.PutUint64(id[:8], stamp>>counterBits<<16|7<<12|stamp&(1<<counterBits-1))
	copy(id[8:], random[:])
	id[8] = id[8]&0x3f | 0x80
	return id
}

func value(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'v':
		return c - 'a' + 10, true
	}
	return 0, false
}

// A Clock issues ids, each greater than all that it has issued or observed. The
// zero Clock is ready; it is safe for concurrent use.
type Clock struct {
	last atomic.Uint64 // the greatest stamp issued or observed
}

// Next returns an ID with the time now, or with the greatest time seen, if that is
// later, and a counter that makes it the greater. A counter that is full goes on
// in the next millisecond. ErrSkew says that the clock would be more than
// [MaxSkew] ahead of now, ErrInvalid that now does not fit into an ID; neither
// changes the clock.
//
// The random bits come from the operating system, so that a process restored
// from a snapshot twice does not repeat itself.
func (c *Clock) Next(now time.Time) (ID, error) {
	milli, err := milliseconds(now)
	if err != nil {
		return ID{}, err
	}
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return ID{}, fmt.Errorf("next id: %w", err)
	}
	for {
		last := c.last.Load()
		stamp := max(milli<<counterBits, last+1)
		if err := checkSkew(stamp, milli); err != nil {
			return ID{}, fmt.Errorf("next id: %w", err)
		}
		if c.last.CompareAndSwap(last, stamp) {
			return pack(stamp, random), nil
		}
	}
}

// Observe makes all later ids of the clock greater than id. ErrSkew says that id is
// more than [MaxSkew] ahead of now, ErrInvalid that no clock can have issued it;
// neither changes the clock.
func (c *Clock) Observe(id ID, now time.Time) error {
	if err := id.validate(); err != nil {
		return err
	}
	milli, err := milliseconds(now)
	if err != nil {
		return err
	}
	if err := checkSkew(id.stamp(), milli); err != nil {
		return fmt.Errorf("id %s: %w", id, err)
	}
	for {
		last := c.last.Load()
		if id.stamp() <= last || c.last.CompareAndSwap(last, id.stamp()) {
			return nil
		}
	}
}

func milliseconds(now time.Time) (uint64, error) {
	milli := now.UnixMilli()
	if milli < 0 || milli > maxMilli {
		return 0, fmt.Errorf("time %s: %w: want one from 1970 to 10889", now, ErrInvalid)
	}
	return uint64(milli), nil
}

func checkSkew(stamp, now uint64) error {
	ahead := time.Duration(int64(stamp>>counterBits)-int64(now)) * time.Millisecond
	if ahead > MaxSkew {
		return fmt.Errorf("%w: %s ahead of the local time, at most %s allowed", ErrSkew, ahead, MaxSkew)
	}
	return nil
}
