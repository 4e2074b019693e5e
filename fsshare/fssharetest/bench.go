package fssharetest

import (
	"bytes"
	"fmt"
	"io/fs"
	"testing"

	"github.com/genaistore/genaistore/fsshare"
)

// Bench measures what programs do most, on a new share each.
func Bench(b *testing.B, newShare func(b *testing.B) fsshare.Share) {
	b.Helper()
	for _, size := range []int{4 << 10, 1 << 20} {
		data := bytes.Repeat([]byte("0123456789abcdef"), size/16)
		b.Run(fmt.Sprintf("WriteFile/%dKiB", size>>10), func(b *testing.B) {
			s := newShare(b)
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := s.WriteFile(b.Context(), "d/file", bytes.NewReader(data), nil); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("ReadFile/%dKiB", size>>10), func(b *testing.B) {
			s := newShare(b)
			if _, err := s.WriteFile(b.Context(), "d/file", bytes.NewReader(data), nil); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := fs.ReadFile(s.FS(b.Context()), "d/file"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for _, opts := range []*fsshare.LockOptions{{}, {Shared: true}} {
		b.Run(fmt.Sprintf("LockUnlock/shared=%t", opts.Shared), func(b *testing.B) {
			s := newShare(b)
			for b.Loop() {
				l, err := s.Lock(b.Context(), "lock", opts)
				if err != nil {
					b.Fatal(err)
				}
				if err := l.Unlock(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("Commit", func(b *testing.B) {
		s := newShare(b)
		l, err := s.Lock(b.Context(), "lock", nil)
		if err != nil {
			b.Fatal(err)
		}
		defer l.Unlock()
		data := make([]byte, fsshare.MaxCommit)
		for b.Loop() {
			if err := l.Commit(b.Context(), data); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Inspect", func(b *testing.B) {
		s := newShare(b)
		l, err := s.Lock(b.Context(), "lock", nil)
		if err != nil {
			b.Fatal(err)
		}
		defer l.Unlock()
		for b.Loop() {
			if _, err := s.Inspect(b.Context(), "lock"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
