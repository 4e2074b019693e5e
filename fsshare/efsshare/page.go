package efsshare

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/genaistore/genaistore/fsshare"
)

// A lock's file has two slots, written in turn, so that a write cut short leaves
// the other one whole. Then comes a page of its own for heartbeats, so that the
// holders of a shared lock, who all write there, never write near the slots.
//
//	0  slot 0          2048  slot 1          4096  heartbeats
//
// A slot: magic, version, sequence, token, flags, length of the data, the data,
// and five strings of the holder, each with its length; at the end of the slot the
// CRC-32C of all before it. Numbers are little-endian.
const (
	slotSize    = 2048
	pageSize    = 2 * slotSize
	heartbeatAt = pageSize
	heartbeat   = 16 // bytes of one heartbeat

	slotMagic   = "fsshlock"
	slotVersion = 1
	slotHeader  = len(slotMagic) + 2 + 8 + 8 + 1 + 2
	maxHost     = 255 // bytes of each of a holder's strings, but for the purpose
	committed   = 1   // flag: Data was committed, even if it is empty
)

// A slot is what a lock's file says.
type slot struct {
	Seq       uint64 // grows with every write of a slot
	Token     uint64
	Committed bool
	Data      []byte
	Holder    fsshare.Holder
	ID        string // random, of one holding: tells it from every other one
}

var errNewer = errors.New("written by a newer version of this library; update it on this machine")

func (s slot) encode() []byte {
	b := make([]byte, 0, slotSize)
	b = append(b, slotMagic...)
	b = binary.LittleEndian.AppendUint16(b, slotVersion)
	b = binary.LittleEndian.AppendUint64(b, s.Seq)
	b = binary.LittleEndian.AppendUint64(b, s.Token)
	flags := byte(0)
	if s.Committed {
		flags = committed
	}
	b = append(b, flags)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(s.Data)))
	b = append(b, s.Data...)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.Holder.Since.UnixNano()))
	for _, text := range []string{s.ID, s.Holder.Host, s.Holder.Process, s.Holder.Task, s.Holder.Purpose} {
		text = text[:min(len(text), maxHost)]
		b = append(b, byte(len(text)))
		b = append(b, text...)
	}
	b = b[:slotSize]
	binary.LittleEndian.PutUint32(b[slotSize-crc32.Size:], checksum(b))
	return b
}

func checksum(b []byte) uint32 {
	return crc32.Checksum(b[:slotSize-crc32.Size], crc32.MakeTable(crc32.Castagnoli))
}

// decodeSlot returns false for a slot that was never written or was cut short.
func decodeSlot(b []byte) (s slot, ok bool, err error) {
	if len(b) != slotSize || string(b[:len(slotMagic)]) != slotMagic ||
		checksum(b) != binary.LittleEndian.Uint32(b[slotSize-crc32.Size:]) {
		return slot{}, false, nil
	}
	b = b[len(slotMagic) : slotSize-crc32.Size]
	if v := binary.LittleEndian.Uint16(b); v != slotVersion {
		return slot{}, false, fmt.Errorf("%w: format %d: %w", fsshare.ErrCorrupt, v, errNewer)
	}
	s.Seq = binary.LittleEndian.Uint64(b[2:])
	s.Token = binary.LittleEndian.Uint64(b[10:])
	s.Committed = b[18]&committed != 0
	n := int(binary.LittleEndian.Uint16(b[19:]))
	b = b[slotHeader-len(slotMagic):]
	const since = 8
	if n > fsshare.MaxCommit || n > 0 && !s.Committed {
		return slot{}, false, fmt.Errorf("%w: %d bytes of data in a slot with a good checksum", fsshare.ErrCorrupt, n)
	}
	if s.Committed {
		s.Data = append([]byte{}, b[:n]...)
	}
	b = b[n:]
	s.Holder.Since = time.Unix(0, int64(binary.LittleEndian.Uint64(b))).UTC()
	b = b[since:]
	// Five strings fit, whatever their lengths of one byte say, beside the most data.
	for _, text := range []*string{&s.ID, &s.Holder.Host, &s.Holder.Process, &s.Holder.Task, &s.Holder.Purpose} {
		*text = string(b[1 : 1+int(b[0])])
		b = b[1+int(b[0]):]
	}
	return s, true, nil
}

// decodePage returns the newer of the two slots and where it is; at is the other
// one's place, for the next write. A file without a slot has the zero one. Both
// slots of a page that is no longer new cannot be bad by a write cut short: that is
// damage, and to start again from token 1 would let stale holders pass for new.
func decodePage(page []byte) (newest slot, next int64, err error) {
	if len(page) == 0 {
		return slot{}, 0, nil
	}
	page = append(page, make([]byte, max(0, pageSize-len(page)))...)[:pageSize]
	first, ok0, err := decodeSlot(page[:slotSize])
	if err != nil {
		return slot{}, 0, err
	}
	second, ok1, err := decodeSlot(page[slotSize:])
	switch {
	case err != nil:
		return slot{}, 0, err
	case ok0 && ok1 && first.Seq == second.Seq:
		return slot{}, 0, fmt.Errorf("%w: two slots of one sequence number", fsshare.ErrCorrupt)
	case ok0 && (!ok1 || first.Seq > second.Seq):
		return first, slotSize, nil
	case ok1:
		return second, 0, nil
	case blank(page[slotSize:]): // the first write of all may have been cut short
		return slot{}, 0, nil
	}
	return slot{}, 0, fmt.Errorf("%w: neither slot of the lock's file is whole; its last token is not known: "+
		"if no holder is alive anywhere, remove the file", fsshare.ErrCorrupt)
}

func blank(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
