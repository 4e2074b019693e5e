package efsshare_test

import (
	"encoding/binary"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/fsshare"
	"github.com/genaistore/genaistore/fsshare/efsshare"
)

func fullSlot(seq uint64) efsshare.Slot {
	long := strings.Repeat("h", 255)
	return efsshare.Slot{
		Seq: seq, Token: seq + 100, Committed: true, Data: make([]byte, fsshare.MaxCommit), ID: long,
		Holder: fsshare.Holder{Host: long, Process: long, Task: long, Purpose: strings.Repeat("p", fsshare.MaxPurpose), Since: time.Unix(1, 2).UTC()},
	}
}

func page(slots ...[]byte) []byte {
	var p []byte
	for _, s := range slots {
		p = append(p, s...)
	}
	return p
}

func TestOfTwoSlotsTheNewerOneCounts(t *testing.T) {
	one, two := efsshare.Encode(fullSlot(1)), efsshare.Encode(fullSlot(2))
	torn := append([]byte{}, two...)
	torn[100] ^= 1
	blank := make([]byte, efsshare.SlotSize)
	for _, c := range []struct {
		name string
		page []byte
		seq  uint64
		next int64
	}{
		{"an empty file", nil, 0, 0},
		{"a file that was made longer only", make([]byte, efsshare.PageSize), 0, 0},
		{"the first write cut short", torn[:50], 0, 0},
		{"one slot", one, 1, efsshare.SlotSize},
		{"the second is newer", page(one, two), 2, 0},
		{"the first is newer", page(two, one), 2, efsshare.SlotSize},
		{"the newer one was cut short", page(one, torn), 1, efsshare.SlotSize},
		{"the newer one was cut short, in front", page(torn, one), 1, 0},
		{"the second only", page(blank, two), 2, 0},
		{"a heartbeat after them", append(page(one, two), "beat"...), 2, 0},
	} {
		got, next, err := efsshare.DecodePage(c.page)
		require.NoError(t, err, c.name)
		require.Equal(t, c.seq, got.Seq, c.name)
		require.Equal(t, c.next, next, c.name)
		if c.seq > 0 {
			require.Equal(t, fullSlot(c.seq), got, c.name)
		}
	}
}

func TestAPageThatCannotBeIsCorrupt(t *testing.T) {
	one := efsshare.Encode(fullSlot(1))
	torn := append([]byte{}, one...)
	torn[0] ^= 1
	seal := func(change func(b []byte)) []byte {
		b := append([]byte{}, one...)
		change(b)
		binary.LittleEndian.PutUint32(b[len(b)-4:], efsshare.Checksum(b))
		return b
	}
	for name, p := range map[string][]byte{
		"neither slot is whole":       page(torn, torn),
		"two slots of one sequence":   page(one, one),
		"a version from the future":   seal(func(b []byte) { b[8] = 9 }),
		"more data than fit":          seal(func(b []byte) { binary.LittleEndian.PutUint16(b[27:], 1000) }),
		"data that was not committed": seal(func(b []byte) { b[26] = 0 }),
	} {
		_, _, err := efsshare.DecodePage(p)
		require.ErrorIs(t, err, fsshare.ErrCorrupt, name)
		if name == "a version from the future" {
			require.ErrorIs(t, err, efsshare.ErrNewer)
		}
	}
}

func FuzzDecodePage(f *testing.F) {
	f.Add(efsshare.Encode(fullSlot(1)), efsshare.Encode(fullSlot(2)))
	f.Add([]byte{}, []byte("fsshlock"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var p []byte
		for _, s := range [][]byte{first, second} {
			s = append(s, make([]byte, max(0, efsshare.SlotSize-len(s)))...)[:efsshare.SlotSize]
			binary.LittleEndian.PutUint32(s[len(s)-4:], efsshare.Checksum(s))
			p = append(p, s...)
		}
		s, next, err := efsshare.DecodePage(p)
		if err != nil {
			require.ErrorIs(t, err, fsshare.ErrCorrupt)
			return
		}
		require.Contains(t, []int64{0, efsshare.SlotSize}, next)
		if s.Seq > 0 {
			again, _, err := efsshare.DecodePage(efsshare.Encode(s))
			require.NoError(t, err)
			require.Equal(t, s.Token, again.Token)
			require.Equal(t, s.Data, again.Data)
		}
	})
}

func TestALockWhoseFileIsDamagedIsNotTaken(t *testing.T) {
	s := open(t, t.TempDir())
	for range 2 {
		l, err := s.Lock(t.Context(), "lock", nil)
		require.NoError(t, err)
		require.NoError(t, l.Unlock())
	}
	path, err := s.LockPath("lock")
	require.NoError(t, err)
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	damaged := append([]byte{}, good...)
	damaged[efsshare.SlotSize+30] ^= 1 // the newer one: as if its write was cut short
	require.NoError(t, os.WriteFile(path, damaged, 0o666))
	l, err := s.Lock(t.Context(), "lock", nil)
	require.NoError(t, err)
	require.EqualValues(t, 2, l.Token(), "token 2 was never whole on the disk")
	require.NoError(t, l.Unlock())
	damaged[30] ^= 1
	require.NoError(t, os.WriteFile(path, damaged, 0o666))
	_, err = s.Lock(t.Context(), "lock", nil)
	require.ErrorIs(t, err, fsshare.ErrCorrupt)
	_, err = s.Inspect(t.Context(), "lock")
	require.ErrorIs(t, err, fsshare.ErrCorrupt)
}

func TestACommitCutShortLeavesTheOneBefore(t *testing.T) {
	s := open(t, t.TempDir())
	l, err := s.Lock(t.Context(), "lock", nil)
	require.NoError(t, err)
	path, err := s.LockPath("lock")
	require.NoError(t, err)
	for i, data := range []string{"one", "two", "three", "four"} {
		before, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, l.Commit(t.Context(), []byte(data)))
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, at := range []int{0, efsshare.SlotSize} { // the slot that was written, cut short
			half := append([]byte{}, after...)
			if string(half[at:at+efsshare.SlotSize]) == string(append(before, make([]byte, efsshare.PageSize)...)[at:at+efsshare.SlotSize]) {
				continue
			}
			clear(half[at+40 : at+efsshare.SlotSize])
			got, _, err := efsshare.DecodePage(half)
			require.NoError(t, err)
			require.Equal(t, l.Token(), got.Token, "the token of the holder is not forgotten")
			require.Equal(t, []string{"", "one", "two", "three"}[i], string(got.Data))
		}
	}
	require.NoError(t, l.Unlock())
}
